-- Events by device, of all types or of one, the largest first; unknown is events that name none.
select
    coalesce(e.device_type, 'unknown') as device_type,
    sum(e.event_count)::bigint as events,
    (sum(e.event_count) / sum(sum(e.event_count)) over ())::double precision as share
from (
    select device_type, event_count
    from analytics.tenant_events_daily
    where bucket >= %(start)s and bucket < %(running)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)

    union all
    -- The running day changes with every event: its kept hours spare counting all of them again.
    select device_type, event_count
    from analytics.tenant_events_hourly
    where bucket >= %(running)s and bucket < %(stop)s
        and (%(event_type)s::text is null or event_type = %(event_type)s)
) as e
group by coalesce(e.device_type, 'unknown')
order by events desc, 1
