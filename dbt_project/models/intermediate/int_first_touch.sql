-- One row per tenant and known user: where the first of all their events came from.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'user_id'], 'unique': true},
            {'columns': ['first_at']},
            {'columns': ['is_moved']},
        ],
    )
}}

{#- A user's first touch is the first event of all. Only events of the run's days have changed, so of a user whose
    first touch lies before them nothing can change, and for one with events in them the first of these decides. The
    later events are read only of users whose first touch lay in the run's days and who have no event there any more:
    the planner leaves out the chunks before. An earlier event would have been the first touch, or its day's run is
    still to come. Equal times: the lower event_id is first. -#}
{%- set partial = is_incremental() and run_days() is not none %}
-- depends_on: {{ ref('int_tenant_activity') }}

with run_firsts as (
    select distinct on (tenant_id, user_id)
        tenant_id,
        user_id,
        occurred_at as first_at,
        device_type,
        country,
        referrer
    from {{ ref('stg_events') }}
    where user_id is not null and {{ in_run_days('occurred_at') if partial else 'true' }}
    order by tenant_id, user_id, occurred_at, event_id, event_type
),

firsts as (
    select * from run_firsts
    {%- if partial %}

    union all

    select t.tenant_id, t.user_id, e.occurred_at, e.device_type, e.country, e.referrer
    from {{ this }} as t
    cross join lateral (
        select occurred_at, device_type, country, referrer
        from {{ ref('stg_events') }} as e
        where e.tenant_id = t.tenant_id and e.user_id = t.user_id and occurred_at >= {{ run_end() }}
        order by occurred_at, event_id, event_type
        limit 1
    ) as e
    where {{ in_run_days('t.first_at') }}
        and not exists (select from run_firsts as n where n.tenant_id = t.tenant_id and n.user_id = t.user_id)
    {%- endif %}
),

touches as (
    -- Here and not from staging: the host is read from the rows that are kept, not from every event.
    select tenant_id, user_id, first_at, device_type, country, {{ referrer_domain('referrer') }} as referrer_domain
    from firsts
)

select
    n.tenant_id,
    n.user_id,
    n.first_at,
    n.device_type,
    n.country,
    n.referrer_domain,
    {%- if is_incremental() %}
    coalesce(
        t.is_moved
        or (t.device_type, t.country, t.referrer_domain) is distinct from (n.device_type, n.country, n.referrer_domain),
        true
    ) as is_moved
from touches as n
left join {{ this }} as t on n.tenant_id = t.tenant_id and n.user_id = t.user_id
where t.user_id is null
    or n.first_at < t.first_at
    -- A first touch whose event retention has dropped stays: it is known to be earlier than what is left.
    or (
        (t.first_at at time zone 'UTC')::date >= {{ retained_from('t') }}
        {%- if partial %}
        and t.first_at >= {{ run_start() }}
        {%- endif %}
    )
    {%- else %}
    false as is_moved
from touches as n
    {%- endif %}
