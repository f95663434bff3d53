-- Who may connect to which database of this server: PUBLIC to none, app to cells only, a tenant's login to its own
-- database only, and to that nobody else who serves tenants.
select d.name || ' (' || lower(x.privilege_type) || ' by public)' as object, 1 as offenders
from databases as d
cross join lateral aclexplode(d.acl) as x
-- The right to temporary tables alone opens nothing to who may not connect.
where x.grantee = 0 and x.privilege_type <> 'TEMPORARY'

union all
select d.name || ' (connect by app)', 1
from databases as d
where d.kind not in ('this', 'cell')
    and has_database_privilege('app', d.oid, 'connect')

union all
select d.name || ' (no such tenant)', 1
from databases as d
where d.kind = 'tenant'
    and not exists (select from saas.tenants as t where 'tenant_' || replace(t.id::text, '-', '') = d.name)

union all
select d.name || ' (connect by ' || r.rolname || ')', 1
from databases as d
cross join pg_roles as r
where r.rolname ~ '^tenant_[0-9a-f]{32}$'
    and r.rolname <> d.name
    and has_database_privilege(r.oid, d.oid, 'connect');
