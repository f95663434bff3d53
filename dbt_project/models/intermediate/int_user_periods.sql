-- One row per tenant, known user and step of a configured cohort: the days on which the user did it, as bits.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'user_id', 'step'], 'unique': true},
            {'columns': ['step', 'last_day']},
        ],
    )
}}

{#- Only events of the run's days have changed: of users with events in them, now or before, these days' bits are
    computed anew, and all other rows stay as they are. Bits of days that retention has dropped stay too. -#}
{%- set known_steps = known_cohort_steps(this) if is_incremental() else none %}
-- depends_on: {{ ref('int_tenant_activity') }}, {{ ref('stg_tenants') }}
{%- set events %}
(
    {%- for key, step in configured_cohort_steps().items() %}
    select tenant_id, user_id, {{ funnel_literal(key) }}::text as step, (occurred_at at time zone 'UTC')::date as day
    from {{ ref('stg_events') }}
    where {{ funnel_step_predicate(step) }}
        and user_id is not null
        {%- if known_steps is not none and key in known_steps %}
        and {{ in_run_days('occurred_at') }}
        {%- endif %}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
)
{%- endset %}

select
    tenant_id,
    user_id,
    step,
    first_day,
    last_day,
    day_bits,
    week_bits,
    month_bits,
    stale_days
from {{ user_periods(events, user_period_bounds(known_steps), this if is_incremental() else none) }} as p
