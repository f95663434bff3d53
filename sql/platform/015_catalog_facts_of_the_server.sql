-- Facts of which the isolation of a cell is made and that do not lie in its own schemas: who may connect to the server's
-- other databases, what was made in the server's schemas, and what hangs on single chunks.
set local role owner;

alter function platform.catalog_facts() rename to catalog_facts_of_schemas;

comment on function platform.catalog_facts_of_schemas() is 'The part of platform.catalog_facts() about schemas, roles and grants';

create function platform.catalog_facts() returns table (fact text)
language sql stable
set search_path = pg_catalog
as $$
    select f.fact from platform.catalog_facts_of_schemas() as f

    union all
    select row('database', d.datname, 'open to public')::text
    from pg_database as d
    where d.datallowconn
        and d.datname <> current_database()
        and has_database_privilege('public', d.oid, 'connect')

    union all
    -- Up to 16383 objects are the server's own.
    select row(
        'in the server''s schemas', p.oid::regprocedure, p.proowner::regrole, p.prosecdef, p.provolatile,
        md5(coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), ''))
    )::text
    from pg_proc as p
    where p.oid >= 16384 and p.pronamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)

    union all
    select row('in the server''s schemas', c.oid::regclass, c.relkind, c.relowner::regrole)::text
    from pg_class as c
    where c.oid >= 16384 and c.relnamespace in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)

    union all
    -- A hypertable's own triggers are copied to its chunks; what a chunk has beyond them somebody put there.
    select distinct row('chunk trigger', h.schema_name, h.table_name, t.tgname, t.tgfoid::regprocedure, t.tgenabled)::text
    from _timescaledb_catalog.chunk as k
    inner join _timescaledb_catalog.hypertable as h on k.hypertable_id = h.id
    inner join pg_namespace as n on k.schema_name = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and k.table_name = c.relname
    inner join pg_trigger as t on c.oid = t.tgrelid and not t.tgisinternal
    where not k.dropped
        and h.schema_name <> '_timescaledb_internal'
        and not exists (
            select from pg_trigger as p
            where p.tgrelid = to_regclass(format('%I.%I', h.schema_name, h.table_name))
                and p.tgfoid = t.tgfoid
                and p.tgenabled = t.tgenabled
        )

    union all
    select distinct row('chunk rule', h.schema_name, h.table_name, u.rulename, u.ev_enabled)::text
    from _timescaledb_catalog.chunk as k
    inner join _timescaledb_catalog.hypertable as h on k.hypertable_id = h.id
    inner join pg_namespace as n on k.schema_name = n.nspname
    inner join pg_class as c on n.oid = c.relnamespace and k.table_name = c.relname
    inner join pg_rewrite as u on c.oid = u.ev_class
    where not k.dropped
$$;

comment on function platform.catalog_facts() is
'The facts whose digest is the catalog''s watermark: what to compare when it has changed and one asks why';

grant execute on function platform.catalog_facts() to migrator, loader, transformer, auditor;
