-- Those of the given events that are stored, and by the given entry of the queue.
select
    e.tenant_id,
    e.event_id,
    e.claimed_by
from unnest(%(tenants)s::uuid [], %(events)s::uuid [], %(positions)s::text []) as o (tenant_id, event_id, position)
inner join analytics.event_ids as e
    on o.tenant_id = e.tenant_id and o.event_id = e.event_id and o.position = e.claimed_by
