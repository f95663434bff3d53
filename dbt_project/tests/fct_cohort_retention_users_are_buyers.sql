-- Every known buyer is in exactly one cohort of each period.
{{ config(meta={'dagster': {'ref': {'name': 'fct_cohort_retention'}}}) }}

with mart as (
    select tenant_id, period, sum(cohort_size) as users
    from {{ ref('fct_cohort_retention') }}
    where period_offset = 0
    group by tenant_id, period
),

buyers as (
    select tenant_id, count(distinct user_id) as users
    from {{ ref('int_purchases') }}
    group by tenant_id
)

select m.tenant_id, m.period, m.users as in_mart, b.users as buyers
from mart as m
full join buyers as b on m.tenant_id = b.tenant_id
where m.users is distinct from b.users
