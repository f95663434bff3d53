-- A superuser, a role with BYPASSRLS and an owner of a table pass row security by; a member may become any of them.
select r.rolname || ' (' || t.attribute || ')' as object, 1 as offenders
from pg_roles as r
inner join serving as s on r.oid = s.oid
cross join lateral (values
    ('superuser', r.rolsuper),
    ('bypassrls', r.rolbypassrls),
    ('createrole', r.rolcreaterole),
    ('createdb', r.rolcreatedb),
    ('replication', r.rolreplication)
) as t (attribute, granted)
where t.granted

union all
select 'app (member of ' || m.roleid::regrole::text || ')', 1
from pg_auth_members as m
where m.member = 'app'::regrole

union all
select
    s.rolname || ' (owns '
    || coalesce(c.oid::regclass::text, f.oid::regprocedure::text, n.nspname, 'an object') || ')',
    1
from pg_shdepend as d
inner join serving as s on d.refobjid = s.oid
left join pg_class as c on d.classid = 'pg_class'::regclass and d.objid = c.oid
left join pg_proc as f on d.classid = 'pg_proc'::regclass and d.objid = f.oid
left join pg_namespace as n on d.classid = 'pg_namespace'::regclass and d.objid = n.oid
where d.refclassid = 'pg_authid'::regclass
    and d.deptype = 'o'
    and d.dbid in (0, (select b.oid from pg_database as b where b.datname = current_database()));
