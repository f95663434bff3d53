-- One row per tenant, day (UTC) of the start, and session: numbered within the day, for a mart names no person.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'day', 'session_number'], 'unique': true},
            {'columns': ['day']},
        ],
    )
}}

-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
select
    t.tenant_id,
    t.day,
    row_number() over (
        partition by t.tenant_id, t.day order by t.started_at, t.user_id, t.session_id nulls first
    ) as session_number,
    t.started_at,
    t.ended_at,
    date_part('epoch', t.ended_at - t.started_at) as seconds,
    t.events,
    t.page_views,
    t.converted,
    t.entry_event,
    coalesce(t.device_type, 'unknown') as device_type,
    coalesce(t.country, 'unknown') as country,
    t.referrer_domain
from {{ ref('int_sessions') }} as t
where {{ in_refreshed_session_days('t') }}
