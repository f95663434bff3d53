-- A rule beside a view's own turns a tenant's statement into another one, with its owner's rights.
select u.ev_class::regclass::text || ' (' || u.rulename || ')' as object, 1 as offenders
from pg_rewrite as u
inner join pg_class as c on u.ev_class = c.oid
where (u.rulename <> '_RETURN' or c.relkind not in ('v', 'm'))
    and c.relnamespace <> 'pg_catalog'::regnamespace;
