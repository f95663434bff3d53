-- What every policy asks. Were it IMMUTABLE, plans would be cached with the first tenant's id; were it SECURITY
-- DEFINER, or somebody else's, its answer would not be the session's.
select 'platform.current_tenant()' as object, 1 as offenders
where not exists (
    select from pg_proc as p
    inner join pg_roles as o on p.proowner = o.oid
    where p.oid = to_regprocedure('platform.current_tenant()')
        and p.provolatile = 's'
        and not p.prosecdef
        and p.prorettype = 'uuid'::regtype
        and not o.rolcanlogin
);
