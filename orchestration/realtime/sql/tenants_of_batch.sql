-- What may be written of the tenants of a batch, after the lock that writers share was taken: one row per tenant that
-- exists, and whether any tenant of the cell is closed to writes, which closes every statement that names no tenant.
select
    t.id,
    coalesce(f.writes, false) as closed,
    exists (select from saas.tenant_fences as g where g.writes) as any_closed
from saas.tenants as t
left join saas.tenant_fences as f on t.id = f.tenant_id
where t.id = any(%(tenants)s)
