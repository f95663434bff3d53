-- The newest chunk of a hypertable, by its number: who may not enter its schema cannot name it.
select c.oid::bigint
from _timescaledb_catalog.chunk as k
inner join pg_namespace as n on k.schema_name = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and k.table_name = c.relname
where not k.dropped
order by k.id desc
limit 1
