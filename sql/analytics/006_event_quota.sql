-- Live events are counted, and refused beyond the plan's, in the statement that inserts them. As migrator, to whom the
-- hypertable belongs on one edition and whose owner he may act for on the other.
reset role;

create trigger count_events after insert on analytics.events
referencing new table as added
for each statement execute function metering.count_events();

insert into metering.event_months (tenant_id, month, events)
select e.tenant_id, date_trunc('month', e.time at time zone 'UTC')::date, count(*)
from analytics.events as e
inner join metering.accounts as a on e.tenant_id = a.tenant_id
where e.origin = 'stream'
group by 1, 2;
