-- Events of the stream of one tenant per minute (Unix time) and type, with the users who are known; types that are not
-- told apart as one, and events left out that are counted later.
select
    floor(extract(epoch from e.time) / 60)::bigint as minute,
    case when e.event_type = any(%(named)s) then e.event_type else %(other)s end as counted_as,
    count(*) as events,
    coalesce(array_agg(distinct e.user_id) filter (where e.user_id is not null), '{}') as users
from analytics.events as e
where e.origin = 'stream' and e.tenant_id = %(tenant)s and e.time >= %(since)s
    and not exists (
        select from unnest(%(open_tenants)s::uuid [], %(open_events)s::uuid []) as o (tenant_id, event_id)
        where o.tenant_id = e.tenant_id and o.event_id = e.event_id
    )
group by 1, 2
order by 1, 2
