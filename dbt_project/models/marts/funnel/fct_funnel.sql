-- One row per tenant, funnel, day (UTC) of the start, and step.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'funnel', 'day', 'step'], 'unique': true},
            {'columns': ['funnel', 'day']},
        ],
    )
}}

-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
{% for funnel in configured_funnels() %}
{%- set paths -%}
(
    select t.tenant_id, t.day, t.step_times
    from {{ ref('int_funnel_paths') }} as t
    where {{ in_refreshed_starts(funnel, 't') }}
)
{%- endset %}
select
    f.tenant_id,
    {{ funnel_literal(funnel.name) }}::text as funnel,
    f.day,
    f.step,
    ({{ funnel_step_names(funnel) }})[f.step] as step_name,
    f.users,
    first_value(f.users) over in_order as users_entered,
    (f.users::double precision / first_value(f.users) over in_order) as conversion_rate,
    (f.users::double precision / nullif(lag(f.users) over in_order, 0)) as step_conversion_rate,
    f.avg_seconds,
    f.median_seconds,
    {{ funnel.window_seconds }} as window_seconds,
    (f.day + 1)::timestamp at time zone 'UTC' + interval '{{ funnel.window_seconds }} seconds' as window_ends_at
from {{ funnel_figures(funnel.steps | length, paths, ['tenant_id', 'day']) }} as f
window in_order as (partition by f.tenant_id, f.day order by f.step)
{{ 'union all' if not loop.last }}
{% endfor %}
