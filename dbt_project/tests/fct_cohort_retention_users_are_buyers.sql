-- Every kept user is in exactly one cohort of each period of a first_time matrix. A run of days looks at its own cohorts.
{{ config(meta={'dagster': {'ref': {'name': 'fct_cohort_retention'}}}) }}
-- depends_on: {{ ref('fct_cohort_retention') }}, {{ ref('int_user_periods') }}

with mart as (
    select tenant_id, cohort_name, period, cohort, cohort_size as users
    from {{ ref('fct_cohort_retention') }}
    where kind = 'first_time' and period_offset = 0 and {{ in_run_periods() }}
),

kept as (
    select k.*
    from (
        {% for cohort in configured_cohorts() %}
        {%- set outer = loop %}
        {%- for period in cohort.periods %}
        select
            tenant_id,
            {{ funnel_literal(cohort.name) }}::text as cohort_name,
            '{{ period }}'::text as period,
            date_trunc('{{ period }}', first_day::timestamp)::date as return_period,
            count(*) as users
        from {{ ref('int_user_periods') }}
        where step = {{ funnel_literal(cohort_step_key(cohort.target_event)) }} and '{{ cohort.kind }}' = 'first_time'
        group by tenant_id, date_trunc('{{ period }}', first_day::timestamp)
        {{ 'union all' if not (loop.last and outer.last) }}
        {%- endfor %}
        {%- endfor %}
    ) as k
    where {{ in_run_periods() }}
)

select m.tenant_id, m.cohort_name, m.period, m.cohort, m.users as in_mart, k.users as kept
from mart as m
full join kept as k
    on m.tenant_id = k.tenant_id and m.cohort_name = k.cohort_name and m.period = k.period and m.cohort = k.return_period
where m.users is distinct from k.users
