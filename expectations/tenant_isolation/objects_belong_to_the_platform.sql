-- Who owns a table may drop its policy; who owns a function decides what it does. Owners are roles of the platform: of
-- dbt's relations transformer, of all else the role that nobody logs in as.
select a.name || ' (owned by ' || a.relowner::regrole::text || ')' as object, 1 as offenders
from actual as a
where a.relowner <> case when a.schema_name in ('staging', 'intermediate', 'marts')
    then 'transformer'::regrole else 'owner'::regrole end

union all
select r.name || ' (owned by ' || r.proowner::regrole::text || ')', 1
from routines as r
inner join pg_roles as o on r.proowner = o.oid
where o.rolname <> 'owner'
    -- It takes back what only a superuser may, and nobody else may call it.
    and r.declared_name <> 'platform.close_public_functions'

union all
select n.nspname || ' (schema owned by ' || n.nspowner::regrole::text || ')', 1
from pg_namespace as n
where n.nspname !~ '^(pg_|_?timescaledb_)'
    and n.nspname not in ('information_schema', 'public')
    and n.nspowner <> case when n.nspname in ('staging', 'intermediate', 'marts')
        then 'transformer'::regrole else 'owner'::regrole end;
