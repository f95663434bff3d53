-- SECURITY DEFINER runs with the rights of who owns it: only a migration may make one, owned by nobody who can log in
-- or bypass row security, with a search_path that holds nothing but the server's own.
select r.name || ' (owned by ' || o.rolname || ')' as object, 1 as offenders
from routines as r
inner join pg_roles as o on r.proowner = o.oid
where r.prosecdef
    and (
        o.rolcanlogin or o.rolsuper or o.rolbypassrls
        or not exists (
            select from unnest(r.proconfig) as x (setting)
            where x.setting in ('search_path=""', 'search_path=pg_catalog', 'search_path=pg_catalog, pg_temp')
        )
        or not exists (select from declared_routines as d where d.name = r.declared_name and d.definer)
    );
