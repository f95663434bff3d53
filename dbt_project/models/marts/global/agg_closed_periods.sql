-- One row per dataset and day on which periods closed: how many groups there were, and how many were held back.
{{ config(indexes=[{'columns': ['dataset', 'closes_on'], 'unique': true}]) }}

-- Numbers of groups, never of persons or amounts in them. Today's row is always there: it says until when the cell knows.
with funnel_groups as (
    select distinct closes_on, funnel, week, furthest_step
    from {{ ref('int_funnel_contributions') }}
),

cohort_groups as (
    select distinct closes_on, cohort_name, cohort, weeks_later
    from {{ ref('int_cohort_contributions') }}
),

revenue_groups as (
    select distinct closes_on, day, currency
    from {{ ref('int_revenue_contributions') }}
),

groups as (
    select
        'funnel'::text as dataset,
        g.closes_on,
        coalesce(a.first_step < a.last_step, false) as is_merged,
        a.week is null as is_suppressed
    from funnel_groups as g
    left join {{ ref('agg_funnel') }} as a
        on g.funnel = a.funnel and g.week = a.week and g.furthest_step between a.first_step and a.last_step

    union all

    select
        'cohorts'::text,
        g.closes_on,
        false,
        a.cohort is null
    from cohort_groups as g
    left join {{ ref('agg_cohort_retention') }} as a
        on g.cohort_name = a.cohort_name and g.cohort = a.cohort and g.weeks_later = a.weeks_later

    union all

    select
        'revenue'::text,
        g.closes_on,
        a.day is null and o.day is not null,
        a.day is null and o.day is null
    from revenue_groups as g
    left join {{ ref('agg_daily_revenue') }} as a on g.day = a.day and g.currency = a.currency
    left join {{ ref('agg_daily_revenue') }} as o on g.day = o.day and o.currency = 'other'
),

closings as (
    select dataset, closes_on, is_merged, is_suppressed
    from groups

    union all

    select d.dataset, {{ settled_on() }}, null, null
    from (values ('funnel'::text), ('cohorts'), ('revenue')) as d (dataset)
    where {{ settled_on() }} is not null
)

select
    '{{ target.name }}'::text as region,
    dataset,
    closes_on,
    count(is_merged) as groups,
    count(*) filter (where is_merged) as merged,
    count(*) filter (where is_suppressed) as suppressed,
    {{ as_of() }} as as_of
from closings
group by dataset, closes_on
