select exists (
    select
    from unnest(%(tenants)s::uuid[], %(events)s::uuid[]) as w (tenant_id, event_id)
    inner join analytics.event_ids as l on w.tenant_id = l.tenant_id and w.event_id = l.event_id
);
