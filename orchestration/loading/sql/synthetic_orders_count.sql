select count(*)
from ecommerce.orders as o
where
    o.origin = 'synthetic'
    and o.load_id = %(load_id)s
    and o.created_at >= %(start)s
    and o.created_at < %(end)s
    and not exists (select 1 from saas.tenants as t where t.id = o.tenant_id and t.model <> 'shared');
