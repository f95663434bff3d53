-- One row per tenant, day (UTC) with events, and whether they are history: how many there are.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'day', 'is_history'], 'unique': true},
            {'columns': ['day']},
        ],
    )
}}

-- Kept, so that a day's run counts the events of that day and not those of a year. The first build counts all days, for
-- those of the history are no run's.
select
    tenant_id,
    (occurred_at at time zone 'UTC')::date as day,
    is_history,
    count(*) as events
from {{ ref('stg_events') }}
where {{ in_run_moments('occurred_at') if is_incremental() else 'true' }}
group by tenant_id, (occurred_at at time zone 'UTC')::date, is_history
