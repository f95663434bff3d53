-- An event trigger runs as whoever changes the catalog: the migrator, a superuser.
select e.evtname || ' (event trigger)' as object, 1 as offenders
from pg_event_trigger as e
where not exists (
    select from pg_depend as d
    where d.classid = 'pg_event_trigger'::regclass and d.objid = e.oid and d.deptype = 'e'
);
