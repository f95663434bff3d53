create temporary table staged_ids (
    tenant_id uuid not null,
    event_id uuid not null,
    time timestamptz not null,
    claimed_by text,
    row_number bigint not null
) on commit drop;

create temporary table claimed_ids (tenant_id uuid not null, event_id uuid not null) on commit drop;
