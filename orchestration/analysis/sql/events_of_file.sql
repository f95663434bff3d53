-- Seen by this session only, and gone with it, however it ends.
create temporary table events_of_file (
    user_id bigint,
    occurred_at timestamptz not null,
    event_type text not null,
    properties jsonb not null default '{}'
)
