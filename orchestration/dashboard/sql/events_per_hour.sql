-- Events of each hour up to now, of all types or of one; an hour without events is a zero.
select
    t.hour,
    coalesce(e.events, 0) as events
from generate_series(%(start)s, %(stop)s - interval '1 hour', interval '1 hour') as t (hour)
left join (
    select
        bucket as hour,
        sum(event_count)::bigint as events
    from analytics.tenant_events_hourly
    where bucket >= %(start)s and bucket < %(stop)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)
    group by bucket
) as e on t.hour = e.hour
order by t.hour
