-- A schema that nobody declared, one that a role that serves tenants may enter although it holds nothing for it, and
-- the right to create in one for anybody but its owner.
with declared_schemas (name, entered) as (
    values
    ('platform', true), ('geo', true), ('saas', true), ('ecommerce', true), ('analytics', true), ('marts', true),
    ('public', true), ('staging', false), ('metering', false), ('intermediate', false), ('analytics_chunks', false),
    ('metering', false)
),

schemas as (
    select n.oid, n.nspname, n.nspowner, n.nspacl, regexp_replace(n.nspname, '^t_[0-9a-f]{32}_', '') as declared_name
    from pg_namespace as n
    where n.nspname !~ '^pg_'
        and n.nspname <> 'information_schema'
        and not exists (
            select from pg_depend as d
            where d.classid = 'pg_namespace'::regclass and d.objid = n.oid and d.deptype = 'e'
        )
)

select s.nspname || ' (schema)' as object, 1 as offenders
from schemas as s
where s.declared_name not in (select d.name from declared_schemas as d)
    or (s.declared_name <> s.nspname and s.declared_name not in ('saas', 'ecommerce'))

union all
select s.nspname || ' (entered by ' || r.rolname || ')', 1
from schemas as s
cross join serving as r
where has_schema_privilege(r.oid, s.oid, 'usage')
    and s.declared_name not in (select d.name from declared_schemas as d where d.entered)

union all
select s.nspname || ' (create by ' || case x.grantee when 0 then 'public' else x.grantee::regrole::text end || ')', 1
from schemas as s
cross join lateral aclexplode(s.nspacl) as x
where x.privilege_type = 'CREATE' and x.grantee <> s.nspowner

union all
-- Up to number 16383 objects are the server's own.
select n.nspname || '.' || c.relname || ' (in the server''s schema)', 1
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.oid >= 16384 and n.nspname in ('pg_catalog', 'information_schema') and c.relkind not in ('i', 't');
