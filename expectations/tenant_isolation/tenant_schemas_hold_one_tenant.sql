-- A schema of one tenant refuses another's rows by a check, whatever the context and whoever writes: the second lock beside
-- row security. Its foreign keys lead nowhere but into itself and the shared tables.
with relations as (
    select a.oid, a.name, regexp_replace(a.schema_name, '^t_([0-9a-f]{32})_.*$', '\1')::uuid as tenant
    from actual as a
    where a.schema_name ~ '^t_[0-9a-f]{32}_' and a.relkind in ('table', 'partitioned table')
)

select r.name || ' (rows of others)' as object, 1 as offenders
from relations as r
where not exists (
    select from pg_constraint as k
    where k.conrelid = r.oid
        and k.contype = 'c'
        and k.convalidated
        and pg_get_constraintdef(k.oid) = format('CHECK ((tenant_id = %L::uuid))', r.tenant)
)

union all
select r.name || ' (refers to another tenant''s schema)', 1
from relations as r
inner join pg_constraint as k on r.oid = k.conrelid and k.contype = 'f'
inner join relations as o on k.confrelid = o.oid
where r.tenant <> o.tenant

union all
select n.nspname || ' (no such tenant)', 1
from pg_namespace as n
where n.nspname ~ '^t_[0-9a-f]{32}_'
    and not exists (
        select from saas.tenants as t
        where t.id::text = regexp_replace(n.nspname, '^t_([0-9a-f]{32})_.*$', '\1')::uuid::text
    );
