-- A tablespace is a directory anywhere, on a disk that may be somebody else's; where it is, the state directory's own
-- files are not.
select t.spcname || ' (tablespace)' as object, 1 as offenders
from pg_tablespace as t
where t.spcname not in ('pg_default', 'pg_global');
