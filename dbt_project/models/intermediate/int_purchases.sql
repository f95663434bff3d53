-- One row per purchase event of a known user.
select
    tenant_id,
    user_id,
    occurred_at
from {{ ref('stg_events') }}
where event_type = 'purchase' and user_id is not null
