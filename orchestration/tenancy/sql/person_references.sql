-- Every table whose rows name a person: members and shoppers, in the shared schemas and in those of single tenants.
select n.nspname, c.relname
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attname = 'person_id' and not a.attisdropped
where c.relkind in ('r', 'p')
    and (n.nspname in ('saas', 'ecommerce') or n.nspname ~ '^t_[0-9a-f]{32}_(saas|ecommerce)$')
order by n.nspname, c.relname
