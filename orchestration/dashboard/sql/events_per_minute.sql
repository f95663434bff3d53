-- Events of each minute up to now, of all types or of one; a minute without events is a zero.
select
    t.minute,
    coalesce(e.events, 0) as events
from generate_series(%(start)s, %(stop)s - interval '1 minute', interval '1 minute') as t (minute)
left join (
    select
        date_trunc('minute', time) as minute,
        count(*) as events
    from analytics.tenant_events
    where time >= %(start)s and time < %(stop)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)
    group by 1
) as e on t.minute = e.minute
order by t.minute
