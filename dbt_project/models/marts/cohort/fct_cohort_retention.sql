-- One row per tenant, period (day, week, month), cohort and offset in periods.
{{
    config(
        indexes=[
            {'columns': ['tenant_id', 'period', 'cohort', 'period_offset'], 'unique': true},
        ],
    )
}}

with tenant_days as (
    select
        tenant_id,
        first_day,
        last_day,
        -- Data are there up to the end of the last day with an event, and no period is over before its end.
        least((last_day + 1)::timestamp at time zone 'UTC', {{ as_of() }}) as data_end
    from {{ ref('int_tenant_activity') }}
)

{% for period in configured_cohort_periods() %}
select
    r.tenant_id,
    '{{ period }}'::text as period,
    r.cohort,
    r.period_offset,
    r.cohort_size,
    r.users,
    (r.users::double precision / r.cohort_size) as retention_rate,
    (r.cohort + (r.period_offset + 1) * interval '1 {{ period }}') at time zone 'UTC' <= d.data_end as is_complete
from {{ cohort_retention(
    'first_time',
    period,
    ref('int_purchases'),
    ref('int_purchases'),
    "(select tenant_id, date_trunc('" ~ period ~ "', first_day)::date as first_period,"
    ~ " date_trunc('" ~ period ~ "', last_day)::date as last_period from tenant_days)",
) }} as r
inner join tenant_days as d on r.tenant_id = d.tenant_id
{{ 'union all' if not loop.last }}
{% endfor %}
