tenant_id = {tenant}
and event_id in (
    select e.event_id
    from analytics.events as e
    where e.tenant_id = {tenant} and e.user_id = any({shoppers})
    union all
    select h.event_id
    from analytics.events_history as h
    where h.tenant_id = {tenant} and h.user_id = any({shoppers})
)
