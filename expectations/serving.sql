-- Every role that serves a tenant: app, whatever has become a member of it, the roles that app is a member of, and in a
-- tenant's own database that tenant's login. What is granted to PUBLIC is each role's privilege too; has_*_privilege
-- counts it.
select r.oid, r.rolname
from pg_roles as r
where r.rolname = 'app'
    or (not r.rolsuper and pg_has_role(r.oid, 'app', 'member'))
    or pg_has_role('app', r.oid, 'member')
    or r.rolname = current_setting('proof.tenant_login', true);
