-- Chunks of hypertables, newest first.
select n.nspname as schema_name, c.relname as table_name
from _timescaledb_catalog.chunk as k
inner join pg_namespace as n on k.schema_name = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and k.table_name = c.relname
where not k.dropped
order by k.id desc
limit %(most)s
