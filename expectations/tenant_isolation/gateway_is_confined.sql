-- The front door is asked by whoever comes, before there is a tenant: it has two functions, and no way to a row.
with relations as (
    select a.oid, a.name
    from actual as a
    union
    select h.oid, h.name || ' (' || h.part || ')'
    from hypertables as h
)

select a.name || ' (gateway)' as object, count(*) as offenders
from relations as a
inner join pg_roles as r on r.rolname = 'gateway'
where has_any_column_privilege(r.oid, a.oid, 'select, insert, update, references')
    or has_table_privilege(r.oid, a.oid, 'delete, truncate, trigger')
group by a.name

union all
select n.nspname || ' (' || p.privilege || ' by gateway)', 1
from pg_namespace as n
inner join pg_roles as r on r.rolname = 'gateway'
cross join (values ('usage'), ('create')) as p (privilege)
where n.nspname !~ '^(pg_|_?timescaledb_)'
    and n.nspname not in ('information_schema')
    and (n.nspname not in ('platform', 'public') or p.privilege = 'create')
    and has_schema_privilege(r.oid, n.oid, p.privilege)

union all
select f.name || ' (gateway)', 1
from routines as f
inner join pg_roles as r on r.rolname = 'gateway'
where has_function_privilege(r.oid, f.oid, 'execute')
    and has_schema_privilege(r.oid, f.pronamespace, 'usage')
    and not exists (select from declared_routines as d where d.name = f.declared_name and d.definer);
