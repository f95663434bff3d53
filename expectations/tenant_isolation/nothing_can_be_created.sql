-- Who may create a function, a table or a temporary table can shadow what others call.
select n.nspname || ' (create by ' || s.rolname || ')' as object, 1 as offenders
from pg_namespace as n
cross join serving as s
where n.nspname !~ '^pg_(temp|toast)' and has_schema_privilege(s.oid, n.oid, 'create')

union all
select 'database (' || p.privilege || ' by ' || s.rolname || ')', 1
from serving as s
cross join (values ('create'), ('temporary')) as p (privilege)
where has_database_privilege(s.oid, current_database(), p.privilege);
