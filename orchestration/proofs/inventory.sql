-- Live rows by the statistics, of hypertables over their chunks.
select
    r.name,
    case
        when c.relkind in ('r', 'p', 'm')
            then coalesce(pg_stat_get_live_tuples(c.oid), 0)
            + coalesce(
                (select sum(pg_stat_get_live_tuples(i.inhrelid)) from pg_inherits as i where i.inhparent = c.oid), 0
            )::bigint
    end as rows
from unnest(%(names)s::text[]) as r (name)
inner join pg_class as c on c.oid = to_regclass(r.name)
