-- Every kept user is in exactly one cohort of each period of a first_time matrix.
{{ config(meta={'dagster': {'ref': {'name': 'fct_cohort_retention'}}}) }}
-- depends_on: {{ ref('fct_cohort_retention') }}, {{ ref('int_user_periods') }}

with mart as (
    select tenant_id, cohort_name, period, sum(cohort_size) as users
    from {{ ref('fct_cohort_retention') }}
    where kind = 'first_time' and period_offset = 0
    group by tenant_id, cohort_name, period
),

kept as (
    {% for cohort in configured_cohorts() %}
    {%- set outer = loop %}
    {%- for period in cohort.periods %}
    select tenant_id, {{ funnel_literal(cohort.name) }}::text as cohort_name, '{{ period }}'::text as period, count(*) as users
    from {{ ref('int_user_periods') }}
    where step = {{ funnel_literal(cohort_step_key(cohort.target_event)) }} and '{{ cohort.kind }}' = 'first_time'
    group by tenant_id
    {{ 'union all' if not (loop.last and outer.last) }}
    {%- endfor %}
    {%- endfor %}
)

select m.tenant_id, m.cohort_name, m.period, m.users as in_mart, k.users as kept
from mart as m
full join kept as k on m.tenant_id = k.tenant_id and m.cohort_name = k.cohort_name and m.period = k.period
where m.users is distinct from k.users
