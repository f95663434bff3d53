-- One row per tenant, configured cohort, period (day, week, month), cohort and offset in periods.
{{
    config(
        materialized='incremental',
        incremental_strategy='refresh_cohort_cells',
        unique_key=['tenant_id', 'cohort_name', 'period', 'return_period', 'cohort'],
        on_schema_change='fail',
        indexes=[
            {'columns': ['tenant_id', 'cohort_name', 'period', 'return_period', 'cohort'], 'unique': true},
            {'columns': ['period', 'return_period']},
        ],
        post_hook="{{ clear_stale_user_periods() }}",
    )
}}

{%- set tenant_days %}
    select
        k.tenant_id,
        k.first_day,
        greatest(k.last_day, a.last_day) as last_day,
        -- Data are there up to the end of the last day with an event, and no period is over before its end.
        least((greatest(k.last_day, a.last_day) + 1)::timestamp at time zone 'UTC', {{ as_of() }}) as data_end
    from (
        select tenant_id, min(first_day) as first_day, max(last_day) as last_day
        from {{ ref('int_user_periods') }}
        group by tenant_id
    ) as k
    left join {{ ref('int_tenant_activity') }} as a on k.tenant_id = a.tenant_id
{%- endset %}
{%- set days = run_days() %}

{#- A run of days computes the cells that it can have changed; see cohort_retention_changes. -#}
{% if is_incremental() and days is not none -%}
{%- set cohorts = [] %}
{%- for cohort in configured_cohorts() %}
{%- do cohorts.append({
    'name': cohort.name,
    'kind': cohort.kind,
    'periods': cohort.periods,
    'target': funnel_literal(cohort_step_key(cohort.target_event)),
    'return': funnel_literal(cohort_step_key(cohort.return_event)),
}) %}
{%- endfor %}
{{ cohort_retention_changes(cohorts, ref('int_user_periods'), this, tenant_days, days.first, days.last) }}
{%- else -%}
with tenant_days as (
    {{ tenant_days }}
)

{% for cohort in configured_cohorts() %}
{%- set outer = loop %}
{%- set keys = [] %}
{%- set steps = [] %}
{%- for step in [cohort.target_event, cohort.return_event] %}
{%- do keys.append(funnel_literal(cohort_step_key(step))) %}
{%- do steps.append("(select * from " ~ ref('int_user_periods') ~ " where step = " ~ keys[-1] ~ ")") %}
{%- endfor %}
{%- for period in cohort.periods %}
select
    r.tenant_id,
    {{ funnel_literal(cohort.name) }}::text as cohort_name,
    '{{ cohort.kind }}'::text as kind,
    {{ keys[0] }}::text as target_event,
    {{ keys[1] }}::text as return_event,
    '{{ period }}'::text as period,
    r.cohort,
    r.period_offset,
    (r.cohort + r.period_offset * interval '1 {{ period }}')::date as return_period,
    r.cohort_size,
    r.users,
    (r.users::double precision / r.cohort_size) as retention_rate,
    (r.cohort + (r.period_offset + 1) * interval '1 {{ period }}') at time zone 'UTC' <= d.data_end as is_complete
from {{ cohort_retention_of_kept(
    cohort.kind,
    period,
    steps[0],
    steps[1],
    "(select tenant_id, date_trunc('" ~ period ~ "', first_day::timestamp)::date as first_period,"
    ~ " date_trunc('" ~ period ~ "', last_day::timestamp)::date as last_period from tenant_days)",
) }} as r
inner join tenant_days as d on r.tenant_id = d.tenant_id
{{ 'union all' if not (loop.last and outer.last) }}
{% endfor %}
{%- endfor %}
{%- endif %}
