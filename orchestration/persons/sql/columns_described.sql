-- Columns of a relation with their types and what the database says of them.
select
    a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod),
    coalesce(pg_catalog.col_description(a.attrelid, a.attnum), ''),
    t.typcategory in ('S', 'U', 'A', 'E')
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_type as t on a.atttypid = t.oid
where a.attrelid = to_regclass(%(relation)s) and a.attnum > 0 and not a.attisdropped
order by a.attnum
