-- A logical slot hands out every row that is written; only pgoutput keeps to publications, which are ruled on.
select s.slot_name || ' (' || s.plugin || ')' as object, 1 as offenders
from pg_replication_slots as s
where s.slot_type = 'logical' and s.plugin <> 'pgoutput' and s.database = current_database();
