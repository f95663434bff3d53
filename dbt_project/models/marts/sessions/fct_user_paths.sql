-- One row per tenant, day (UTC) of the first of two events, from_event and to_event that follow each other in a session.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'day', 'from_event', 'to_event'], 'unique': true},
            {'columns': ['day']},
        ],
    )
}}

{#- Whether an event begins or ends its session, and what follows it, depends on the events up to a day around it. -#}
{%- set around = session_days_around() -%}
{%- set run_events -%}
(
    select tenant_id, user_id, session_id, event_id, event_type, occurred_at
    from {{ ref('stg_events') }}
    where user_id is not null and {{ in_run_moments('occurred_at', before=2 * around, after=2 * around) }}
)
{%- endset %}

-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
select
    e.tenant_id,
    (e.occurred_at at time zone 'UTC')::date as day,
    s.from_event,
    s.to_event,
    count(*) as transitions,
    count(distinct e.user_id) as users,
    percentile_cont(0.5) within group (order by s.seconds) as median_seconds
from {{ session_events(run_events) }} as e
cross join lateral (
    select '(entry)' as from_event, e.event_type as to_event, null::double precision as seconds
    where e.starts_session
    union all
    select
        e.event_type,
        case when e.ends_session then '(exit)' else e.next_type end,
        case when not e.ends_session then date_part('epoch', e.next_at - e.occurred_at) end
) as s
where {{ in_run_moments('e.occurred_at', before=around, after=around) }}
group by e.tenant_id, (e.occurred_at at time zone 'UTC')::date, s.from_event, s.to_event
