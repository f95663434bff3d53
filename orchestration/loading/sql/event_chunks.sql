select
    n.nspname,
    c.relname
from show_chunks('analytics.events', older_than => %(end)s, newer_than => %(start)s) as chunk
inner join pg_catalog.pg_class as c on c.oid = chunk
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
order by n.nspname, c.relname;
