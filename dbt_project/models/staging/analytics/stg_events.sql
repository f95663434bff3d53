-- One row per behavioural event: the live ones of the last year, and the history that is kept without end.
select
    tenant_id,
    event_id,
    session_id,
    user_id,
    event_type,
    time as occurred_at,
    properties,
    device_type,
    country,
    referrer,
    {{ referrer_domain('referrer') }} as referrer_domain,
    origin,
    false as is_history
from {{ source('analytics', 'events') }}

union all

select
    tenant_id,
    event_id,
    session_id,
    user_id,
    event_type,
    time as occurred_at,
    properties,
    device_type,
    country,
    referrer,
    {{ referrer_domain('referrer') }} as referrer_domain,
    origin,
    true as is_history
from {{ source('analytics', 'events_history') }}
