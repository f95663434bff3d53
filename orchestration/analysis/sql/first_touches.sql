first_touches as materialized (
    select tenant_id, user_id, coalesce(breakdown_expression, 'unknown') as breakdown_value
    from (
        select distinct on (tenant_id, user_id) tenant_id, user_id, device_type, country, referrer
        from asked_events
        where user_id is not null
        order by tenant_id, user_id, occurred_at, event_id, event_type
    ) as firsts
)
