-- What of the CDNOW log stands in the cell, in orders, in their lines and in events: three counts and three sums that
-- have to agree with the log, plus the load's own account.
select
    l.rows_read,
    l.rows_loaded,
    l.rows_rejected,
    (
        select count(*) from platform.load_rejects as r
        where r.load_id = l.load_id
    ) as rejects_recorded,
    (
        select count(*) from ecommerce.orders as o
        where o.load_id = l.load_id and o.origin = 'import'
    ) as orders,
    (
        select coalesce(sum(o.total_amount), 0) from ecommerce.orders as o
        where o.load_id = l.load_id and o.origin = 'import'
    ) as order_dollars,
    (
        select coalesce(sum(i.total_price), 0)
        from ecommerce.orders as o
        inner join ecommerce.order_items as i on o.tenant_id = i.tenant_id and o.id = i.order_id
        where o.load_id = l.load_id and o.origin = 'import'
    ) as line_dollars,
    (
        select count(*) from analytics.events_history as e
        where e.load_id = l.load_id and e.origin = 'import'
    ) as events,
    (
        select coalesce(sum((e.properties ->> 'revenue')::numeric(12, 2)), 0) from analytics.events_history as e
        where e.load_id = l.load_id and e.origin = 'import'
    ) as event_dollars
from platform.loads as l
where l.asset = %(asset)s
