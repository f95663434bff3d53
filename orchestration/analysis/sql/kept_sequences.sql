kept_sequences as not materialized (
    select * from intermediate.int_event_sequences
    where tenant_id = %(tenant)s::uuid
)
