-- What every policy asks, and what that asks in turn. Were one IMMUTABLE, plans would be cached with the first tenant's
-- id; were it SECURITY DEFINER, or somebody else's, its answer would not be the session's.
select f.name as object, 1 as offenders
from (values ('platform.current_tenant()'), ('platform.claimed_tenant()')) as f (name)
where not exists (
    select from pg_proc as p
    inner join pg_roles as o on p.proowner = o.oid
    where p.oid = to_regprocedure(f.name)
        and p.provolatile = 's'
        and not p.prosecdef
        and p.prorettype = 'uuid'::regtype
        and not o.rolcanlogin
);
