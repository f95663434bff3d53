-- Orders of this partition that no purchase backs any more; their items go with them.
delete from ecommerce.orders as o
where
    o.origin = 'synthetic'
    and o.load_id = %(load_id)s
    and o.created_at >= %(start)s
    and o.created_at < %(end)s
    and not exists (select 1 from saas.tenants as t where t.id = o.tenant_id and t.model <> 'shared')
    and not exists (
        select 1
        from pg_temp.purchases as p
        where p.tenant_id = o.tenant_id and p.order_id = o.id
    );
