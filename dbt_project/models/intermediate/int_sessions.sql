-- One row per session of a known user.
{{
    config(
        materialized='incremental',
        incremental_strategy='replace_stale',
        on_schema_change='fail',
        tags=['daily'],
        indexes=[
            {'columns': ['tenant_id', 'user_id', 'started_at', 'session_id'], 'unique': true},
            {'columns': ['day']},
            {'columns': ['started_at']},
            {'columns': ['ended_at']},
        ],
    )
}}

{#- An event can join, split or lengthen only sessions that it is at most a day away from. So a run refreshes the
    sessions that touch its days or the day before or after them, each as a whole: of those that reach further, the
    events beyond are read too. -#}
{%- set partial = is_incremental() and run_days() is not none %}
{%- set reach = near_sessions_reach(this) if partial else none %}
{%- set columns = [
    'tenant_id', 'user_id', 'session_id', 'event_id', 'event_type', 'occurred_at', 'device_type', 'country', 'referrer'
] %}
-- Read by the strategy that deletes the rows to be replaced. depends_on: {{ ref('int_tenant_activity') }}
with run_events as (
    select {{ columns | join(', ') }}
    from {{ ref('stg_events') }}
    where user_id is not null
        and {{ in_run_moments('occurred_at', before=session_days_around(), after=session_days_around()) }}
    {%- if partial %}

    union all

    select e.{{ columns | join(', e.') }}
    from {{ ref('stg_events') }} as e
    inner join {{ this }} as t
        on e.tenant_id = t.tenant_id
            and e.user_id = t.user_id
            and e.session_id is not distinct from t.session_id
            and e.occurred_at between t.started_at and t.ended_at
    where {{ session_is_near('t') }}
        -- The limits of all are for the planner: it leaves out the chunks beyond.
        and (
            (
                t.started_at < {{ run_start(session_days_around()) }}
                and e.occurred_at < {{ run_start(session_days_around()) }}
                and e.occurred_at >= {{ reach.first }}
            )
            or (
                t.ended_at >= {{ run_end(session_days_around()) }}
                and e.occurred_at >= {{ run_end(session_days_around()) }}
                and e.occurred_at <= {{ reach.last }}
            )
        )
    {%- endif %}
),

numbered as (
    select
        e.*,
        count(*) filter (where e.starts_session) over (
            partition by e.tenant_id, e.user_id, e.session_id order by e.occurred_at, e.event_id, e.event_type
        ) as session_number
    from {{ session_events('run_events', more=['device_type', 'country', 'referrer']) }} as e
),

sessions as (
    select
        tenant_id,
        user_id,
        session_id,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as events,
        count(*) filter (where event_type = 'page_view') as page_views,
        bool_or(event_type = 'purchase') as converted,
        -- What the first event says of the visit, each once a session.
        max(event_type) filter (where starts_session) as entry_event,
        max(device_type) filter (where starts_session) as device_type,
        max(country) filter (where starts_session) as country,
        max(referrer) filter (where starts_session) as entry_referrer
    from numbered
    group by tenant_id, user_id, session_id, session_number
)

select
    tenant_id,
    user_id,
    session_id,
    (started_at at time zone 'UTC')::date as day,
    started_at,
    ended_at,
    events,
    page_views,
    converted,
    entry_event,
    device_type,
    country,
    {{ referrer_domain('entry_referrer') }} as referrer_domain
from sessions
