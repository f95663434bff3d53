-- One row per tenant, funnel, day (UTC) of the start, dimension, value of the user's first touch, and step.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'funnel', 'day', 'dimension', 'value', 'step'], 'unique': true},
            {'columns': ['funnel', 'day']},
        ],
        post_hook="{{ clear_moved_first_touches() }}",
    )
}}

{#- Besides the days that fct_funnel refreshes: those with a path of a user whose first touch has moved, however long
    ago the path was. -#}
{%- set partial = is_incremental() and run_days() is not none %}

-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
{% for funnel in configured_funnels() %}
{%- set paths -%}
(
    select t.tenant_id, t.day, d.dimension, d.value, t.step_times
    from {{ ref('int_funnel_paths') }} as t
    left join {{ ref('int_first_touch') }} as f on t.tenant_id = f.tenant_id and t.user_id = f.user_id
    cross join lateral (
        values
        ('device_type', coalesce(f.device_type, 'unknown')),
        ('country', coalesce(f.country, 'unknown')),
        ('referrer_domain', coalesce(f.referrer_domain, 'unknown'))
    ) as d (dimension, value)
    where {{ in_refreshed_starts(funnel, 't') }}
    {%- if partial %}
        or (t.tenant_id, t.funnel, t.day) in (
            select m.tenant_id, m.funnel, m.day
            from {{ days_of_moved_first_touches() }} as m
            where m.funnel = {{ funnel_literal(funnel.name) }}
        )
    {%- endif %}
)
{%- endset %}
select
    f.tenant_id,
    {{ funnel_literal(funnel.name) }}::text as funnel,
    f.day,
    f.dimension,
    f.value,
    f.step,
    ({{ funnel_step_names(funnel) }})[f.step] as step_name,
    f.users,
    first_value(f.users) over in_order as users_entered,
    (f.users::double precision / first_value(f.users) over in_order) as conversion_rate,
    (f.users::double precision / nullif(lag(f.users) over in_order, 0)) as step_conversion_rate,
    f.avg_seconds,
    f.median_seconds
from {{ funnel_figures(funnel.steps | length, paths, ['tenant_id', 'day', 'dimension', 'value']) }} as f
window in_order as (partition by f.tenant_id, f.day, f.dimension, f.value order by f.step)
{{ 'union all' if not loop.last }}
{% endfor %}
