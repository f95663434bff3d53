with asked_events as not materialized (
    select %(tenant)s::uuid as tenant_id, user_id, occurred_at, event_type, properties
    from pg_temp.events_of_file
)
