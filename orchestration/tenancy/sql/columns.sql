select a.attname
from pg_catalog.pg_attribute as a
where a.attrelid = to_regclass(%(relation)s)
    and a.attnum > 0
    and not a.attisdropped
    and a.attgenerated = ''
order by a.attnum
