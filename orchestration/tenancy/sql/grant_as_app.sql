-- Gives the tenant's login exactly what app has in this database, and takes back what app has no more. Not by
-- membership: a member of app may enter every database that app may.
do $grants$
declare
    v_login name := current_setting('tenant.login');
    v_grant record;
begin
    for v_grant in
        with schemas as (
            select n.oid, n.nspname, n.nspacl
            from pg_catalog.pg_namespace as n
            where n.nspname !~ '^(pg_|_timescaledb_|timescaledb_)' and n.nspname <> 'information_schema'
        ),

        held as (
            select 'schema' as kind, format('%I', s.nspname) as object, a.privilege_type, a.grantee
            from schemas as s
            cross join lateral pg_catalog.aclexplode(s.nspacl) as a
            union all
            select
                case c.relkind when 'S' then 'sequence' else 'table' end,
                format('%I.%I', s.nspname, c.relname), a.privilege_type, a.grantee
            from pg_catalog.pg_class as c
            inner join schemas as s on c.relnamespace = s.oid
            cross join lateral pg_catalog.aclexplode(c.relacl) as a
            where c.relkind in ('r', 'p', 'v', 'S')
            union all
            select 'routine', p.oid::regprocedure::text, a.privilege_type, a.grantee
            from pg_catalog.pg_proc as p
            inner join schemas as s on p.pronamespace = s.oid
            cross join lateral pg_catalog.aclexplode(p.proacl) as a
        )

        select
            h.kind, h.object, h.privilege_type,
            bool_or(h.grantee = 'app'::regrole) as wanted,
            bool_or(h.grantee = v_login::text::regrole) as given
        from held as h
        where h.grantee in ('app'::regrole, v_login::text::regrole)
        group by h.kind, h.object, h.privilege_type
    loop
        if v_grant.wanted and not v_grant.given then
            execute format('grant %s on %s %s to %I', v_grant.privilege_type, v_grant.kind, v_grant.object, v_login);
        elsif v_grant.given and not v_grant.wanted then
            execute format('revoke %s on %s %s from %I', v_grant.privilege_type, v_grant.kind, v_grant.object, v_login);
        end if;
    end loop;
end
$grants$
