select
    'orders' as what,
    count(*) as found,
    coalesce(sum(o.total_amount), 0) as dollars
from ecommerce.orders as o
where o.tenant_id = %(tenant_id)s and o.origin = %(origin)s and o.load_id = %(load_id)s
union all
select
    'order items' as what,
    count(*) as found,
    coalesce(sum(i.total_price), 0) as dollars
from ecommerce.order_items as i
inner join ecommerce.orders as o on o.tenant_id = i.tenant_id and o.id = i.order_id
where o.tenant_id = %(tenant_id)s and o.origin = %(origin)s and o.load_id = %(load_id)s
union all
select
    'events' as what,
    count(*) as found,
    coalesce(sum((e.properties ->> 'revenue')::numeric), 0) as dollars
from analytics.events_history as e
where e.tenant_id = %(tenant_id)s and e.origin = %(origin)s and e.load_id = %(load_id)s;
