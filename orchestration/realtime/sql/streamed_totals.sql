-- Events of the stream per tenant and type, without those that are counted later. All tenants unless one is given.
select
    e.tenant_id,
    e.event_type,
    count(*) as events
from analytics.events as e
where e.origin = 'stream'
    and (e.tenant_id = %(tenant)s or %(tenant)s::uuid is null)
    and not exists (
        select from unnest(%(open_tenants)s::uuid [], %(open_events)s::uuid []) as o (tenant_id, event_id)
        where o.tenant_id = e.tenant_id and o.event_id = e.event_id
    )
group by e.tenant_id, e.event_type
