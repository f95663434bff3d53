-- Loaded payments of this partition's orders that no purchase backs any more.
delete from ecommerce.payments as y
using ecommerce.orders as o
where
    o.tenant_id = y.tenant_id
    and o.id = y.order_id
    and o.origin = 'synthetic'
    and o.load_id = %(load_id)s
    and o.created_at >= %(start)s
    and o.created_at < %(end)s
    and y.id >= %(first_id)s
    and y.provider = 'synthetic'
    and not exists (select 1 from saas.tenants as t where t.id = y.tenant_id and t.model <> 'shared')
    and not exists (
        select 1
        from pg_temp.purchases as p
        where p.tenant_id = y.tenant_id and p.order_id = y.order_id
    );
