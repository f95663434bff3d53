-- One row per tenant and hour with requests.
select
    tenant_id,
    hour,
    requests,
    failures,
    refusals,
    queries,
    busy_us,
    max_us,
    latencies
from {{ source('metering', 'request_hours') }}
