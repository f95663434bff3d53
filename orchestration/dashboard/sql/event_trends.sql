-- The newest complete day beside the same weekday of the weeks before, by event type, the most unusual first.
select
    event_type,
    day,
    events,
    events_week_before,
    change_rate,
    expected,
    score,
    trend
from marts.fct_event_trends
where day = (
    select max(n.day)
    from marts.fct_event_trends as n
    where n.day < (%(start)s::timestamptz at time zone 'UTC')::date
)
and (%(event_type)s::text is null or event_type = %(event_type)s)
order by abs(score) desc nulls last, event_type
