select e.event_id from analytics.event_ids as e
where e.tenant_id = %(tenant)s and e.event_id = any(%(events)s)
