-- What a role, a database or both set at the start of each session: a tenant's context that nobody asked for, a
-- search_path with somebody's functions, a library to load. A role may set its own, so that even app could do it.
select
    case s.setrole when 0 then 'every role' else s.setrole::regrole::text end || ' (' || split_part(x.item, '=', 1)
    || case s.setdatabase when 0 then '' else ' in one database' end || ')' as object,
    1 as offenders
from pg_db_role_setting as s
cross join lateral unnest(s.setconfig) as x (item)
where s.setdatabase in (0, (select d.oid from pg_database as d where d.datname = current_database()))
    and split_part(x.item, '=', 1) not in (
        'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
        'temp_file_limit', 'work_mem', 'timezone', 'TimeZone', 'application_name', 'default_transaction_read_only',
        'default_transaction_isolation', 'client_connection_check_interval', 'jit', 'random_page_cost'
    );
