-- dblink and foreign data wrappers reach other databases, pg_stat_statements shows the text of other tenants' queries
-- (all run as one role), untrusted languages reach the server's files.
select e.extname || ' (extension)' as object, 1 as offenders
from pg_extension as e
where e.extname not in ('plpgsql', 'timescaledb', 'ltree');
