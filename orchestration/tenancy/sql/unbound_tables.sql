-- Tables of a tenant's schemas that do not yet refuse another tenant's rows.
select n.nspname as schema_name, c.relname as table_name
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attname = 'tenant_id' and not a.attisdropped
where n.nspname = any(%(schemas)s)
    and c.relkind in ('r', 'p')
    and not exists (
        select from pg_catalog.pg_constraint as k where k.conrelid = c.oid and k.conname = 'belongs_to_tenant'
    )
order by 1, 2
