-- A foreign server is a copy that has not been made yet.
select f.srvname || ' (foreign server)' as object, 1 as offenders
from pg_foreign_server as f;
