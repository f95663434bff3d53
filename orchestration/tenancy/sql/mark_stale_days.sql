-- The days of events that the caller's transaction is going to delete, and the figures without days. In one order: two
-- who mark the same days wait for each other, and neither for ever.
insert into analytics.stale_days as here (tenant_id, day, is_history)
select
    {tenant},
    d.day,
    bool_or(d.is_history)
from (
    select (e.time at time zone 'UTC')::date as day, false as is_history
    from analytics.events as e
    where {live}
    union
    select (e.time at time zone 'UTC')::date, true
    from analytics.events_history as e
    where {history}
    union
    select '-infinity', false
) as d
group by d.day
order by d.day
on conflict (tenant_id, day) do update
set is_history = here.is_history or excluded.is_history,
    marks = here.marks + 1,
    claimed_by = null
