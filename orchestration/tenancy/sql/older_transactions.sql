-- Transactions of this database that began before an instant: how many, the oldest's process, and whether all can be
-- seen. Vacuum and what sends the log write no rows.
select
    count(*) filter (where a.xact_start <= %(before)s) as older,
    (array_agg(a.pid order by a.xact_start) filter (where a.xact_start <= %(before)s))[1] as oldest,
    pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees_all
from pg_catalog.pg_stat_activity as a
where a.datname = current_database()
    and a.pid <> pg_backend_pid()
    and a.backend_type not in ('autovacuum worker', 'walsender')
