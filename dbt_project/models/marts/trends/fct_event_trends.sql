-- One row per tenant, day (UTC) that is over, and event type that happened on it or in the 42 days before it.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'event_type', 'day'], 'unique': true},
            {'columns': ['day']},
        ],
    )
}}

{#- Counts of other days than the run's are those that the table has: a run of days reads what it brought, and what
    retention has dropped still has its place in what is expected. -#}
{%- set days = run_days() %}
{%- set partial = is_incremental() and days is not none %}
{%- set counts %}
(
    select n.*
    from (
        select
            tenant_id,
            event_type,
            (day_start at time zone 'UTC')::date as day,
            sum(events)::bigint as events
        from {{ ref('stg_events_daily') }}
        {%- if partial %}
        where {{ in_run_moments('day_start') }}
        {%- endif %}
        group by tenant_id, event_type, day_start
        {%- if partial %}
        {#- Apart, so that the times above stay constants for the planner. #}
        union all
        select
            tenant_id,
            event_type,
            (day_start at time zone 'UTC')::date as day,
            sum(events)::bigint as events
        from {{ ref('stg_events_daily') }}
        where day_start > {{ newest_trend_day(this) }}::timestamp at time zone 'UTC'
            and not ({{ in_run_moments('day_start') }})
        group by tenant_id, event_type, day_start
        {%- endif %}
    ) as n
    {%- if is_incremental() %}
    where {{ in_counted_trend_days('n', this) }}

    union all

    select
        k.tenant_id,
        k.event_type,
        k.day,
        k.events
    from {{ this }} as k
    where k.events > 0
        and not {{ in_counted_trend_days('k', this) }}
        {%- if partial %}
        and (
            {{ in_run_dates('k.day', before=trend_reach_days() | int, after=trend_reach_days() | int) }}
            or k.day > {{ newest_trend_day(this) }} - {{ trend_reach_days() }}
        )
        {%- endif %}
    {%- endif %}
)
{%- endset %}
-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
select
    t.tenant_id,
    t.day,
    t.event_type,
    t.events,
    t.events_week_before,
    t.change,
    t.change_rate,
    t.baseline_weeks,
    t.expected,
    t.spread,
    t.score,
    t.trend
from {{ event_trends(
    counts,
    '(' ~ as_of() ~ " at time zone 'UTC')::date - 1",
    wanted=in_refreshed_trend_days('s', this) if is_incremental() else 'true',
) }} as t
