-- One row per tenant and month (UTC) with live events.
select
    tenant_id,
    month,
    events
from {{ source('metering', 'event_months') }}
