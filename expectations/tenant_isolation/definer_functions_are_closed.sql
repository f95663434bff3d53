-- A SECURITY DEFINER function does as its owner whatever its caller asks.
select p.oid::regprocedure::text || ' (' || s.rolname || ')' as object, 1 as offenders
from pg_proc as p
cross join serving as s
inner join pg_namespace as n on p.pronamespace = n.oid
where p.prosecdef
    and has_function_privilege(s.oid, p.oid, 'execute')
    and has_schema_privilege(s.oid, n.oid, 'usage');
