-- One captured payment per order, with its order's id. There is no card behind it, so none is shown.
insert into ecommerce.payments as existing
(tenant_id, id, order_id, amount, currency, status, provider, provider_token, created_at)
select
    p.tenant_id,
    p.order_id,
    p.order_id,
    p.total_amount,
    p.currency,
    'captured',
    'synthetic',
    'synthetic-' || p.order_id,
    p.created_at
from pg_temp.purchases as p
on conflict (tenant_id, id) do update set
    order_id = excluded.order_id,
    amount = excluded.amount,
    currency = excluded.currency,
    status = excluded.status,
    provider_token = excluded.provider_token,
    created_at = excluded.created_at
where
    existing.provider = 'synthetic'
    and row(
        existing.order_id, existing.amount, existing.currency, existing.status, existing.provider_token,
        existing.created_at
    ) is distinct from row(
        excluded.order_id, excluded.amount, excluded.currency, excluded.status, excluded.provider_token,
        excluded.created_at
    );
