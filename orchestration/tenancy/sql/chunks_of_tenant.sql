select distinct n.nspname, c.relname
from {} as e
inner join pg_catalog.pg_class as c on e.tableoid = c.oid
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
where e.tenant_id = %(tenant)s
