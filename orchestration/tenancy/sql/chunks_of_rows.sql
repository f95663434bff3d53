select distinct n.nspname, c.relname
from {relation} as e
inner join pg_catalog.pg_class as c on e.tableoid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where {condition}
