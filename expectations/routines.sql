-- Every function and procedure that is there and neither the server's nor an extension's, also in the server's schemas: up
-- to number 16383 objects are the server's own. In the schemas of one tenant
-- they are those of saas and ecommerce under other names.
select
    p.oid,
    p.oid::regprocedure::text as name,
    regexp_replace(n.nspname, '^t_[0-9a-f]{32}_', '') || '.' || p.proname as declared_name,
    md5(regexp_replace(p.prosrc, 't_[0-9a-f]{32}_', '', 'g')) as body,
    p.prosqlbody is not null as is_parsed,
    p.prosecdef,
    p.proleakproof,
    p.proconfig,
    p.proowner,
    p.pronamespace,
    l.lanname as language
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
where p.oid >= 16384
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    );
