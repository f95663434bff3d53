-- One row per funnel, settled week (ISO, UTC) of the start, person who entered, and tenant where they got furthest.
{{ config(materialized='table', indexes=[{'columns': ['funnel', 'week']}]) }}

{#- Later events of the window can still lengthen a path of the week's last day. -#}
{%- set funnel = published_funnel_definition() -%}
{%- set days_open = 7 + (funnel.window_seconds + 86399) // 86400 + disclosure_rule().settlement_days -%}

with paths as (
    select
        p.tenant_id,
        p.funnel,
        date_trunc('week', p.day::timestamp)::date as week,
        {{ contributor('p', 's') }} as contributor,
        p.depth
    from {{ ref('int_funnel_paths') }} as p
    left join {{ ref('stg_shoppers') }} as s on p.tenant_id = s.tenant_id and p.user_id = s.user_id
    where p.funnel = {{ funnel_literal(funnel.name) }}
),

furthest as (
    select *, max(depth) over (partition by week, contributor) as furthest_step
    from paths
)

select distinct
    tenant_id,
    week + {{ days_open }} as closes_on,
    funnel,
    week,
    contributor,
    furthest_step
from furthest
where depth = furthest_step
    and week + {{ days_open }} <= {{ settled_on() }}
