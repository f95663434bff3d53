-- The login of a tenant that has a database of its own: without an attribute, in no role, with a limit on its
-- connections, and only as long as that database is there.
select l.rolname || ' (' || t.problem || ')' as object, 1 as offenders
from pg_roles as l
cross join lateral (values
    ('superuser', l.rolsuper),
    ('bypassrls', l.rolbypassrls),
    ('createrole', l.rolcreaterole),
    ('createdb', l.rolcreatedb),
    ('replication', l.rolreplication),
    ('no connection limit', l.rolconnlimit < 1),
    ('member of a role', exists (select from pg_auth_members as m where m.member = l.oid)),
    ('has a member', exists (
        select from pg_auth_members as m
        inner join pg_roles as r on m.member = r.oid
        where m.roleid = l.oid and not r.rolsuper
    )),
    ('no database', not exists (select from pg_database as d where d.datname = l.rolname))
) as t (problem, present)
where l.rolname ~ '^tenant_[0-9a-f]{32}$' and t.present;
