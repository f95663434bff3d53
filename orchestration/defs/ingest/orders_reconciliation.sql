-- Purchases of the event stream against orders of the shop, over the days whose orders were loaded and whose events
-- are still retained, of tenants whose orders are in the shared tables. One row: how many there are of each, how many have no partner, how many partners differ.
with loaded as (
    select
        l.partition_key::date as day,
        l.load_id
    from platform.loads as l
    where l.asset = %(asset)s and l.partition_key is not null
),

purchases as (
    select
        e.tenant_id,
        (e.properties ->> 'order_id')::bigint as order_id,
        (e.properties ->> 'revenue')::numeric(12, 2) as revenue
    from analytics.events as e
    where
        e.event_type = 'purchase'
        and e.origin = 'synthetic'
        and (e.time at time zone 'UTC')::date in (select d.day from loaded as d)
        and e.tenant_id in (select t.id from saas.tenants as t where t.model = 'shared')
),

orders as (
    select
        o.tenant_id,
        o.id as order_id,
        o.total_amount as revenue
    from ecommerce.orders as o
    where
        o.origin = 'synthetic'
        -- Orders that are kept of an erased shopper belong to no load any more: their purchases are gone.
        and o.load_id in (select d.load_id from loaded as d)
        and (o.created_at at time zone 'UTC')::date in (select d.day from loaded as d)
        and o.created_at >= (select min(e.time) from analytics.events as e)
        and o.tenant_id in (select t.id from saas.tenants as t where t.model = 'shared')
)

select
    count(p.order_id) as purchases,
    count(o.order_id) as orders,
    count(*) filter (where o.order_id is null) as purchases_without_order,
    count(*) filter (where p.order_id is null) as orders_without_purchase,
    count(*) filter (where p.revenue <> o.revenue) as differing_totals,
    coalesce(sum(p.revenue), 0) as purchase_revenue,
    coalesce(sum(o.revenue), 0) as order_revenue
from purchases as p
full join orders as o on p.tenant_id = o.tenant_id and p.order_id = o.order_id
