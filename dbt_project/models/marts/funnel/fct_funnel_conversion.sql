-- One row per tenant, funnel and day (UTC) of the start: conversion over time.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'funnel', 'day'], 'unique': true},
            {'columns': ['funnel', 'day']},
        ],
    )
}}

{#- A day's figures are in the sums of the 27 days after it, and a sum is over the 27 days before. -#}
{%- set partial = is_incremental() and run_days() is not none %}

with days as (
    select
        t.tenant_id,
        t.funnel,
        t.day,
        t.window_ends_at,
        t.users_entered as entered,
        (array_agg(t.users order by t.step desc))[1] as converted
    from {{ ref('fct_funnel') }} as t
    where
    {%- for funnel in configured_funnels() %}
        (
            t.funnel = {{ funnel_literal(funnel.name) }}
            and {{ in_run_dates('t.day', before=(funnel_lookback_days(funnel) | int) + 27, after=27) }}
        ){{ ' or' if not loop.last }}
    {%- endfor %}
    group by t.tenant_id, t.funnel, t.day, t.window_ends_at, t.users_entered
),

summed as (
    select
        d.*,
        (sum(d.entered) over last_7)::bigint as entered_7_days,
        (sum(d.converted) over last_7)::bigint as converted_7_days,
        (sum(d.entered) over last_28)::bigint as entered_28_days,
        (sum(d.converted) over last_28)::bigint as converted_28_days
    from days as d
    window
        last_7 as (partition by d.tenant_id, d.funnel order by d.day range interval '6 days' preceding),
        last_28 as (partition by d.tenant_id, d.funnel order by d.day range interval '27 days' preceding)
)

select
    t.tenant_id,
    t.funnel,
    t.day,
    t.entered,
    t.converted,
    (t.converted::double precision / t.entered) as conversion_rate,
    t.entered_7_days,
    t.converted_7_days,
    (t.converted_7_days::double precision / t.entered_7_days) as conversion_rate_7_days,
    t.entered_28_days,
    t.converted_28_days,
    (t.converted_28_days::double precision / t.entered_28_days) as conversion_rate_28_days,
    t.window_ends_at,
    {{ windows_are_over('t', 'a') }} as is_complete
from summed as t
left join {{ ref('int_tenant_activity') }} as a on t.tenant_id = a.tenant_id
where t.day >= {{ retained_from() }}
    and (
    {%- for funnel in configured_funnels() %}
        ({{ in_refreshed_starts(funnel, 't', after=27) }}){{ ' or' if not loop.last }}
    {%- endfor %}
    )
{%- if partial %}

union all

select
    t.tenant_id,
    t.funnel,
    t.day,
    t.entered,
    t.converted,
    t.conversion_rate,
    t.entered_7_days,
    t.converted_7_days,
    t.conversion_rate_7_days,
    t.entered_28_days,
    t.converted_28_days,
    t.conversion_rate_28_days,
    t.window_ends_at,
    not t.is_complete as is_complete
from {{ this }} as t
left join {{ ref('int_tenant_activity') }} as a on t.tenant_id = a.tenant_id
where t.is_complete <> {{ windows_are_over('t', 'a') }}
    and t.day >= {{ retained_from() }}
    and not (
    {%- for funnel in configured_funnels() %}
        ({{ in_refreshed_starts(funnel, 't', after=27) }}){{ ' or' if not loop.last }}
    {%- endfor %}
    )
    and t.funnel in ({% for f in configured_funnels() %}{{ funnel_literal(f.name) }}{{ ', ' if not loop.last }}{% endfor %})
{%- endif %}
