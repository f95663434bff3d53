-- One row per tenant, funnel, day (UTC) of the start, and user: the timing path of those who started that day.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'user_id', 'funnel', 'day'], 'unique': true},
            {'columns': ['funnel', 'day']},
        ],
    )
}}

{#- A path of day d depends on events from d until the window after it. So the events of the run's days can change the
    paths of the days before them too, as far back as the window reaches, and these are refreshed as well. -#}
{%- set days = run_days() %}
-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
{% for funnel in configured_funnels() %}
select
    p.tenant_id,
    {{ funnel_literal(funnel.name) }}::text as funnel,
    p.day,
    p.user_id,
    num_nonnulls({% for k in range(1, (funnel.steps | length) + 1) %}p.step_{{ k }}_at{{ ', ' if not loop.last }}{% endfor %})
        as depth,
    array_remove(
        array[{% for k in range(1, (funnel.steps | length) + 1) %}p.step_{{ k }}_at{{ ', ' if not loop.last }}{% endfor %}],
        null
    ) as step_times
from {{ funnel_paths(
    funnel.steps,
    funnel.window_seconds,
    ref('stg_events'),
    first_day=(days.first ~ ' - ' ~ funnel_lookback_days(funnel)) if days is not none else none,
    last_day=days.last if days is not none else none,
    mode=funnel.get('mode') or 'ordered',
    exclusions=funnel.get('exclusions') or [],
) }} as p
{{ 'union all' if not loop.last }}
{% endfor %}
