-- Servers, wrappers and mappings through which a query leaves this database.
select w.fdwname || ' (foreign data wrapper)' as object, 1 as offenders
from pg_foreign_data_wrapper as w

union all
select f.srvname || ' (foreign server)', 1
from pg_foreign_server as f

union all
select case m.umuser when 0 then 'public' else m.umuser::regrole::text end || ' (user mapping)', 1
from pg_user_mappings as m;
