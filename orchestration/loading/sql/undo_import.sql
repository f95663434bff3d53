-- Everything of one import: its events, the ids that they claimed, its rejects and its record.
with live as (
    delete from analytics.events
    where tenant_id = %(tenant_id)s and origin = 'import' and load_id = %(load_id)s
        and time >= %(first_time)s and time <= %(last_time)s
    returning event_id, time
),

history as (
    delete from analytics.events_history
    where tenant_id = %(tenant_id)s and origin = 'import' and load_id = %(load_id)s
        and time >= %(first_time)s and time <= %(last_time)s
    returning event_id, time
),

gone as (
    select event_id, time from live
    union all
    select event_id, time from history
),

claims as (
    delete from analytics.event_ids as l
    using gone as g
    where l.tenant_id = %(tenant_id)s and l.event_id = g.event_id and l.time = g.time
),

records as (
    delete from analytics.imports
    where tenant_id = %(tenant_id)s and load_id = %(load_id)s
),

loads as (
    delete from platform.loads
    where load_id = %(load_id)s
)

select count(*)
from gone;
