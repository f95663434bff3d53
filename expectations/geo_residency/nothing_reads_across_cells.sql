-- A foreign server is a copy that has not been made yet; so is what opens a connection, a file or a program from inside
-- a query.
select f.srvname || ' (foreign server)' as object, 1 as offenders
from pg_foreign_server as f

union all
select w.fdwname || ' (foreign data wrapper)', 1
from pg_foreign_data_wrapper as w

union all
select e.extname || ' (extension)', 1
from pg_extension as e
where e.extname ~ '(^dblink|_fdw|^plpython|^plperl|^pltcl|^plsh|^plv8|^pg_net|^http|^aws_|^azure_|^adminpack|^pg_cron)'

union all
select l.lanname || ' (language)', 1
from pg_language as l
where not l.lanpltrusted and l.lanname not in ('internal', 'c');
