-- Who is connected to be sent the write-ahead log of this database or of the whole server, and where subscriptions of
-- this database read from; the auditor may not see either. Of a connection string only host and port are told.
select
    'walsender' as fact,
    coalesce(nullif(s.application_name, ''), 'unnamed') || ' of ' || s.usename || ' from '
    || coalesce(host(s.client_addr), 'this machine') as object,
    s.application_name as name,
    null as address
from pg_stat_replication as s
inner join pg_stat_activity as a on s.pid = a.pid
where a.datname is null or a.datname = current_database()

union all
select
    'subscription',
    s.subname::text,
    s.subname::text,
    coalesce(substring(s.subconninfo from 'host(?:addr)?=''?([^ '']+)'), '') || ':'
    || coalesce(substring(s.subconninfo from 'port=''?(\d+)'), '5432')
from pg_subscription as s
where s.subdbid = (select d.oid from pg_database as d where d.datname = current_database())
