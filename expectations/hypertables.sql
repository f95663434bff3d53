-- What the engine refuses row security on: hypertables, the tables behind continuous aggregates, compressed data and
-- the chunks of all of them, each with the relation that people know.
select
    c.oid,
    'hypertable' as part,
    n.nspname as schema_name,
    n.nspname || '.' || c.relname as name
from _timescaledb_catalog.hypertable as h
inner join pg_namespace as n on h.schema_name = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and h.table_name = c.relname

union all
select c.oid, 'continuous aggregate', n.nspname, n.nspname || '.' || c.relname
from _timescaledb_catalog.continuous_agg as g
inner join pg_namespace as n on n.nspname in (g.user_view_schema, g.partial_view_schema, g.direct_view_schema)
inner join pg_class as c
    on n.oid = c.relnamespace
    and (n.nspname, c.relname) in (
        (g.user_view_schema, g.user_view_name),
        (g.partial_view_schema, g.partial_view_name),
        (g.direct_view_schema, g.direct_view_name)
    )

union all
select c.oid, 'chunk', n.nspname, h.schema_name || '.' || h.table_name
from _timescaledb_catalog.chunk as k
inner join _timescaledb_catalog.hypertable as h on k.hypertable_id = h.id
inner join pg_namespace as n on k.schema_name = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and k.table_name = c.relname
where not k.dropped;
