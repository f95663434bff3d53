-- A statement in the server's log, or the DETAIL of an error, is a copy of what it wrote; logs have no region.
select s.name || ' (' || s.setting || ')' as object, 1 as offenders
from pg_settings as s
where (s.name = 'log_statement' and s.setting <> 'none')
    or (
        s.name in ('log_min_duration_statement', 'log_min_duration_sample', 'auto_explain.log_min_duration')
        and s.setting <> '-1'
    )
    or (s.name = 'log_min_error_statement' and s.setting not in ('panic', 'fatal'))
    or (s.name = 'log_error_verbosity' and s.setting <> 'terse')

union all
select
    case x.setrole when 0 then 'every role' else x.setrole::regrole::text end
    || ' (' || split_part(c.item, '=', 1) || ')',
    1
from pg_db_role_setting as x
cross join lateral unnest(x.setconfig) as c (item)
where (x.setdatabase = 0 or x.setdatabase = (select d.oid from pg_database as d where d.datname = current_database()))
    and c.item ~ '^(log_|auto_explain|debug_print|pg_stat_statements|session_preload|local_preload)';
