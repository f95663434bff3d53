-- Events and distinct known users of the stream of one tenant per minute (Unix time) and type, and per minute over all
-- types (type NULL); types that are not told apart as one, and events left out that are counted later.
select
    s.minute,
    s.counted_as,
    count(*) as events,
    count(distinct s.user_id) as users
from (
    select
        floor(extract(epoch from e.time) / 60)::bigint as minute,
        case when e.event_type = any(%(named)s) then e.event_type else %(other)s end as counted_as,
        e.user_id
    from analytics.events as e
    where e.origin = 'stream' and e.tenant_id = %(tenant)s and e.time >= %(since)s and e.time < %(until)s
        and not exists (
            select from unnest(%(open_tenants)s::uuid [], %(open_events)s::uuid []) as o (tenant_id, event_id)
            where o.tenant_id = e.tenant_id and o.event_id = e.event_id
        )
) as s
group by grouping sets ((s.minute, s.counted_as), (s.minute))
