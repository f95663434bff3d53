-- What leaves the cell leaves it by one login: it reads the relations that are declared aggregates, changes nothing, and
-- calls the one function that asks the gate.
with relations as (
    select a.oid, a.name
    from actual as a
    union
    select h.oid, h.name || ' (' || h.part || ')'
    from hypertables as h
)

select a.name || ' (publisher)' as object, count(*) as offenders
from relations as a
inner join pg_roles as r on r.rolname = 'publisher'
left join declared as d on a.name = d.name
where has_any_column_privilege(r.oid, a.oid, 'insert, update, references')
    or has_table_privilege(r.oid, a.oid, 'delete, truncate, trigger')
    or (has_any_column_privilege(r.oid, a.oid, 'select') and d.kind is distinct from 'aggregate')
group by a.name

union all
select n.nspname || ' (' || p.privilege || ' by publisher)', 1
from pg_namespace as n
inner join pg_roles as r on r.rolname = 'publisher'
cross join (values ('usage'), ('create')) as p (privilege)
where n.nspname !~ '^(pg_|_?timescaledb_)'
    and n.nspname not in ('information_schema')
    and (n.nspname not in ('platform', 'marts', 'public') or p.privilege = 'create')
    and has_schema_privilege(r.oid, n.oid, p.privilege)

union all
select f.name || ' (publisher)', 1
from routines as f
inner join pg_roles as r on r.rolname = 'publisher'
where has_function_privilege(r.oid, f.oid, 'execute')
    and has_schema_privilege(r.oid, f.pronamespace, 'usage')
    and f.name <> 'platform.assert_publishing_open(interval)';
