-- One row per cohort, settled week later, person of the cohort, whether they came back in it, and tenant where.
{{ config(materialized='table', indexes=[{'columns': ['cohort', 'weeks_later']}]) }}

{%- set cohort = published_cohort_definition() -%}
{%- set target = funnel_literal(cohort_step_key(cohort.target_event)) -%}
{%- set returns = funnel_literal(cohort_step_key(cohort.return_event)) -%}
{%- set days_open = 7 + disclosure_rule().settlement_days %}

with active_weeks as (
    select
        k.tenant_id,
        {{ contributor('k', 's') }} as contributor,
        k.step,
        date_trunc('week', k.first_day::timestamp)::date + 7 * n.i as week
    from {{ ref('int_user_periods') }} as k
    cross join lateral generate_series(0, length(k.week_bits) - 1) as n (i)
    left join {{ ref('stg_shoppers') }} as s on k.tenant_id = s.tenant_id and k.user_id = s.user_id
    where k.step in ({{ target }}, {{ returns }}) and get_bit(k.week_bits, n.i) = 1
),

cohorts as (
    select contributor, min(week) as cohort
    from active_weeks
    where step = {{ target }}
    group by contributor
),

members as (
    select w.tenant_id, w.contributor, c.cohort
    from active_weeks as w
    inner join cohorts as c on w.contributor = c.contributor and w.week = c.cohort
    where w.step = {{ target }}
),

returned as (
    select w.tenant_id, w.contributor, c.cohort, (w.week - c.cohort) / 7 as weeks_later
    from active_weeks as w
    inner join cohorts as c on w.contributor = c.contributor and w.week > c.cohort
    where w.step = {{ returns }} and (w.week - c.cohort) / 7 <= {{ disclosure_rule().cohort_weeks }}
),

contributions as (
    select tenant_id, contributor, cohort, 0 as weeks_later, true as returned
    from members

    union all

    select tenant_id, contributor, cohort, weeks_later, true
    from returned

    union all

    select m.tenant_id, m.contributor, m.cohort, n.weeks_later, false
    from members as m
    cross join generate_series(1, {{ disclosure_rule().cohort_weeks }}) as n (weeks_later)
    where not exists (
        select 1
        from returned as r
        where r.contributor = m.contributor and r.cohort = m.cohort and r.weeks_later = n.weeks_later
    )
)

select
    tenant_id,
    cohort + 7 * weeks_later + {{ days_open }} as closes_on,
    {{ funnel_literal(cohort.name) }}::text as cohort_name,
    cohort,
    weeks_later,
    contributor,
    returned
from contributions
where cohort + 7 * weeks_later + {{ days_open }} <= {{ settled_on() }}
