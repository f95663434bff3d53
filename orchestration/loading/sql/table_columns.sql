-- Columns of one table that a load may write: name, type, whether it takes NULL, whether it must be given.
select
    a.attname,
    t.typname,
    not a.attnotnull as nullable,
    a.attnotnull and not a.atthasdef and a.attidentity = '' as required
from pg_catalog.pg_attribute as a
inner join pg_catalog.pg_type as t on t.oid = a.atttypid
where
    a.attrelid = to_regclass(%(table)s)
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = ''
order by a.attnum;
