-- A chunk inherits the grants of its hypertable but no policy. TimescaleDB's own schema has to stay enterable, or a
-- fresh session fails at its first query; there the chunks themselves must be closed.
select n.nspname || ' (' || s.rolname || ')' as object, 1 as offenders
from pg_namespace as n
cross join serving as s
where (
        (
            n.nspname in (select h.schema_name from hypertables as h where h.part = 'chunk')
            or n.nspname in (select t.associated_schema_name from _timescaledb_catalog.hypertable as t)
        )
        and n.nspname <> '_timescaledb_internal'
        and has_schema_privilege(s.oid, n.oid, 'usage, create')
    )
    or (n.nspname ~ '^_timescaledb_' and has_schema_privilege(s.oid, n.oid, 'create'));
