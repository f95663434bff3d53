-- Events of each day (UTC) up to today, of all types or of one; a day without events is a zero.
select
    (t.bucket at time zone 'UTC')::date as day,
    coalesce(e.events, 0) as events
from generate_series(%(start)s, %(running)s, interval '24 hours') as t (bucket)
left join (
    select
        bucket,
        sum(event_count)::bigint as events
    from analytics.tenant_events_daily
    where bucket >= %(start)s and bucket < %(running)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)
    group by bucket

    union all
    -- The running day changes with every event: its kept hours spare counting all of them again.
    select
        %(running)s,
        sum(event_count)::bigint
    from analytics.tenant_events_hourly
    where bucket >= %(running)s and bucket < %(stop)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)
) as e on t.bucket = e.bucket
order by day
