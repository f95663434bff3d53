-- The day's purchases, each with the columns of its order. A tenant with a place of its own has its orders there.
create temporary table purchases on commit drop as
select
    e.tenant_id,
    (e.properties ->> 'order_id')::bigint as order_id,
    e.user_id,
    e.time as created_at,
    e.properties ->> 'currency' as currency,
    (e.properties ->> 'subtotal')::numeric(12, 2) as subtotal,
    (e.properties ->> 'tax')::numeric(12, 2) as tax_amount,
    (e.properties ->> 'shipping')::numeric(12, 2) as shipping_amount,
    (e.properties ->> 'revenue')::numeric(12, 2) as total_amount,
    e.properties -> 'items' as items
from analytics.events as e
where
    e.time >= %(start)s
    and e.time < %(end)s
    and e.origin = 'synthetic'
    and e.load_id = %(events_load_id)s
    and e.event_type = 'purchase'
    and not exists (select 1 from saas.tenants as t where t.id = e.tenant_id and t.model <> 'shared');
