{# Condition on a session: it touches the run's days, or the days around them. #}
{% macro session_is_near(alias) -%}
{{ alias }}.ended_at >= {{ run_start(session_days_around()) }} and {{ alias }}.started_at < {{ run_end(session_days_around()) }}
{%- endmacro %}

{% macro delete_stale_int_sessions(relation, new_rows) %}
    delete from {{ relation }} as t
    where {{ session_is_near('t') if run_days() is not none else 'true' }};
    {#- A session tells of a person; it does not outlive the events that it was made of. What rests on it does. #}
    delete from {{ relation }} as t
    using {{ ref('int_tenant_activity') }} as a
    where t.tenant_id = a.tenant_id
        and (t.ended_at at time zone 'UTC')::date < a.retained_from
        and t.ended_at < (
            select max(m.retained_from)::timestamp at time zone 'UTC' from {{ ref('int_tenant_activity') }} as m
        );
{% endmacro %}

{#
  Condition on a row (tenant_id, day) of sessions: the run refreshes it. The run's days, those around them, and the days
  on which sessions began that reach up to them.
#}
{% macro in_refreshed_session_days(alias) -%}
{%- set around = session_days_around() -%}
(
    {{ in_run_dates(alias ~ '.day', before=around, after=around) }}
    {%- if run_days() is not none %}
    or ({{ alias }}.tenant_id, {{ alias }}.day) in (
        select s.tenant_id, s.day
        from {{ ref('int_sessions') }} as s
        where s.ended_at >= {{ run_start(around) }} and s.started_at < {{ run_start(around) }}
    )
    {%- endif %}
)
{%- endmacro %}

{% macro delete_stale_fct_sessions(relation, new_rows) %}
    delete from {{ relation }} as t
    where t.day >= {{ retained_from() }}
        and {{ in_refreshed_session_days('t') }};
{% endmacro %}

{% macro delete_stale_fct_user_paths(relation, new_rows) %}
    delete from {{ relation }} as t
    where t.day >= {{ retained_from() }}
        and {{ in_run_dates('t.day', before=session_days_around(), after=session_days_around()) }};
{% endmacro %}
