-- Every relation that somebody made in this database, whatever its schema. Left out are those of the server and of
-- extensions, and TimescaleDB's own parts of a hypertable by its register of them, not by the name of their schema.
select
    c.oid,
    n.nspname as schema_name,
    n.nspname || '.' || c.relname as name,
    case
        when h.id is not null then 'hypertable'
        when g.mat_hypertable_id is not null then 'continuous_aggregate'
        when c.relkind = 'r' then 'table'
        when c.relkind = 'p' then 'partitioned table'
        when c.relkind = 'v' then 'view'
        when c.relkind = 'm' then 'materialized view'
        when c.relkind = 'f' then 'foreign table'
    end as relkind,
    c.relowner,
    c.relrowsecurity,
    c.relforcerowsecurity,
    c.reloptions
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join _timescaledb_catalog.hypertable as h on n.nspname = h.schema_name and c.relname = h.table_name
left join _timescaledb_catalog.continuous_agg as g
    on n.nspname = g.user_view_schema and c.relname = g.user_view_name
where c.relkind in ('r', 'p', 'v', 'm', 'f')
    and n.nspname !~ '^pg_'
    and n.nspname <> 'information_schema'
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    )
    and not exists (
        select from _timescaledb_catalog.chunk as k
        where k.schema_name = n.nspname and k.table_name = c.relname
    )
    and not (h.id is not null and h.schema_name = '_timescaledb_internal')
    and not exists (
        select from _timescaledb_catalog.continuous_agg as x
        where (x.partial_view_schema = n.nspname and x.partial_view_name = c.relname)
            or (x.direct_view_schema = n.nspname and x.direct_view_name = c.relname)
    );
