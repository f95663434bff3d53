-- A slot keeps the log for somebody who reads it, now or later. Nobody is declared to: whoever sets up a standby or
-- replication between cells declares its slot here.
select s.slot_name || ' (' || s.slot_type || ')' as object, 1 as offenders
from pg_replication_slots as s
where s.database is null or s.database = current_database();
