-- One row per tenant, day (UTC), event type, device and country: how many live events there were.
select
    tenant_id,
    bucket as day_start,
    event_type,
    device_type,
    country,
    event_count as events
from {{ source('analytics', 'events_daily') }}
