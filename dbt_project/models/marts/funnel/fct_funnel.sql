-- One row per tenant, funnel, day (UTC) of the start, and step.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_days',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'funnel', 'day', 'step'], 'unique': true},
            {'columns': ['funnel', 'day']},
        ],
    )
}}

{#- A funnel's rows of day d depend on events from d until the window after it. So the events of the run's days can
    change the rows of the days before them too, as far back as the window reaches, and these are refreshed as well. -#}
{%- set days = run_days() -%}

-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
{% for funnel in configured_funnels() %}
{%- set lookback = funnel_lookback_days(funnel) -%}
select
    f.tenant_id,
    {{ funnel_literal(funnel.name) }}::text as funnel,
    f.day,
    f.step,
    (array[
        {%- for step in funnel.steps %}{{ funnel_literal(funnel_step_name(step)) }}{{ ', ' if not loop.last }}{% endfor -%}
    ])[f.step] as step_name,
    f.users,
    first_value(f.users) over in_order as users_entered,
    (f.users::double precision / first_value(f.users) over in_order) as conversion_rate,
    (f.users::double precision / nullif(lag(f.users) over in_order, 0)) as step_conversion_rate,
    f.avg_seconds,
    f.median_seconds,
    {{ funnel.window_seconds }} as window_seconds,
    (f.day + 1)::timestamp at time zone 'UTC' + interval '{{ funnel.window_seconds }} seconds' as window_ends_at
from {{ funnel_steps(
    funnel.steps,
    funnel.window_seconds,
    ref('stg_events'),
    first_day=(days.first ~ ' - ' ~ lookback) if days is not none else none,
    last_day=days.last if days is not none else none,
) }} as f
window in_order as (partition by f.tenant_id, f.day order by f.step)
{{ 'union all' if not loop.last }}
{% endfor %}
