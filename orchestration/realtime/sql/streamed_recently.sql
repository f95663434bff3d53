-- The newest events of the stream of one tenant, the oldest of them first; those left out that are counted later.
select
    r.milliseconds,
    r.event_type,
    r.user_id
from (
    select
        e.time,
        floor(extract(epoch from e.time) * 1000)::bigint as milliseconds,
        e.event_type,
        coalesce(e.user_id::text, '') as user_id
    from analytics.events as e
    where e.origin = 'stream' and e.tenant_id = %(tenant)s and e.time >= %(since)s
        and not exists (
            select from unnest(%(open_tenants)s::uuid [], %(open_events)s::uuid []) as o (tenant_id, event_id)
            where o.tenant_id = e.tenant_id and o.event_id = e.event_id
        )
    order by e.time desc
    limit %(newest)s
) as r
order by r.time
