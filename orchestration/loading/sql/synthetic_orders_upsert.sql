-- An order's address is the shopper's own, which has the shopper's id. A row that is somebody else's is left alone;
-- the count that follows then does not come out.
insert into ecommerce.orders as existing
(
    tenant_id, id, user_id, status, shipping_address_id, billing_address_id, currency,
    subtotal, tax_amount, shipping_amount, total_amount, created_at, updated_at, origin, load_id
)
select
    p.tenant_id,
    p.order_id,
    p.user_id,
    'completed',
    p.user_id,
    p.user_id,
    p.currency,
    p.subtotal,
    p.tax_amount,
    p.shipping_amount,
    p.total_amount,
    p.created_at,
    p.created_at,
    'synthetic',
    %(load_id)s
from pg_temp.purchases as p
on conflict (tenant_id, id) do update set
    user_id = excluded.user_id,
    status = excluded.status,
    shipping_address_id = excluded.shipping_address_id,
    billing_address_id = excluded.billing_address_id,
    currency = excluded.currency,
    subtotal = excluded.subtotal,
    tax_amount = excluded.tax_amount,
    shipping_amount = excluded.shipping_amount,
    total_amount = excluded.total_amount,
    created_at = excluded.created_at
where
    existing.origin = 'synthetic'
    and existing.load_id = excluded.load_id
    and row(
        existing.user_id, existing.status, existing.shipping_address_id, existing.billing_address_id,
        existing.currency, existing.subtotal, existing.tax_amount, existing.shipping_amount,
        existing.total_amount, existing.created_at
    ) is distinct from row(
        excluded.user_id, excluded.status, excluded.shipping_address_id, excluded.billing_address_id,
        excluded.currency, excluded.subtotal, excluded.tax_amount, excluded.shipping_amount,
        excluded.total_amount, excluded.created_at
    );
