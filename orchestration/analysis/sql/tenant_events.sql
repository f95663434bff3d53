with asked_events as not materialized (
    select tenant_id, user_id, occurred_at, event_type, properties, event_id, device_type, country, referrer
    from staging.stg_events
    where tenant_id = %(tenant)s::uuid
)
