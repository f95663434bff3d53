-- Loaded lines of this partition's orders that their purchase does not have; the running shop's lines have lower ids.
delete from ecommerce.order_items as i
using ecommerce.orders as o
where
    o.tenant_id = i.tenant_id
    and o.id = i.order_id
    and o.origin = 'synthetic'
    and o.load_id = %(load_id)s
    and o.created_at >= %(start)s
    and o.created_at < %(end)s
    and i.id >= %(first_id)s
    and not exists (select 1 from saas.tenants as t where t.id = i.tenant_id and t.model <> 'shared')
    and not exists (
        select 1
        from pg_temp.purchases as p
        where
            p.tenant_id = i.tenant_id
            and p.order_id = i.order_id
            and i.id < p.order_id * %(lines_per_order)s + jsonb_array_length(p.items)
    );
