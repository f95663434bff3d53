insert into ecommerce.order_items as existing
(tenant_id, id, order_id, variant_id, quantity, unit_price, total_price)
select
    p.tenant_id,
    p.order_id * %(lines_per_order)s + i.line - 1,
    p.order_id,
    (i.item ->> 'variant_id')::bigint,
    (i.item ->> 'quantity')::integer,
    (i.item ->> 'price')::numeric(12, 2),
    (i.item ->> 'total')::numeric(12, 2)
from pg_temp.purchases as p
cross join lateral jsonb_array_elements(p.items) with ordinality as i (item, line)
on conflict (tenant_id, id) do update set
    order_id = excluded.order_id,
    variant_id = excluded.variant_id,
    quantity = excluded.quantity,
    unit_price = excluded.unit_price,
    total_price = excluded.total_price
where
    row(
        existing.order_id, existing.variant_id, existing.quantity, existing.unit_price, existing.total_price
    ) is distinct from row(
        excluded.order_id, excluded.variant_id, excluded.quantity, excluded.unit_price, excluded.total_price
    );
