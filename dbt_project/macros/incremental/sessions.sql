{# Condition on a session: it touches the run's days, or the days around them. #}
{% macro session_is_near(alias) -%}
{{ alias }}.ended_at >= {{ run_start(session_days_around()) }} and {{ alias }}.started_at < {{ run_end(session_days_around()) }}
{%- endmacro %}

{#
  The moments between which sessions near the run's days lie, as {first, last}, for the planner: with constants it leaves
  out the chunks beyond, with a subquery it plans a year of them. Looked up before the model's own statement; one run at
  a time is in a cell. Where there is no such session yet, a subquery does.
#}
{% macro near_sessions_reach(relation) %}
    {#- Without OFFSET 0 the least is looked for from the first session of all onwards, in an index of all. -#}
    {%- set near = '(select started_at, ended_at from ' ~ relation ~ ' as s where ' ~ session_is_near('s') ~ ' offset 0)' -%}
    {%- set first = '(select min(s.started_at) from ' ~ near ~ ' as s)' -%}
    {%- set last = '(select max(s.ended_at) from ' ~ near ~ ' as s)' -%}
    {#- Unit tests have no such relation. -#}
    {%- if execute and model.resource_type == 'model' -%}
        {%- set found = run_query('select ' ~ first ~ '::text, ' ~ last ~ '::text').rows[0] -%}
        {%- if found[0] is not none -%}
            {{ return({'first': "timestamptz '" ~ found[0] ~ "'", 'last': "timestamptz '" ~ found[1] ~ "'"}) }}
        {%- endif -%}
    {%- endif -%}
    {{ return({'first': first, 'last': last}) }}
{% endmacro %}

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
{%- if run_days() is not none %}
{#- What both have in common, for an index. #}
and {{ alias }}.day <= {{ run_days().last }} + {{ around }}
and {{ alias }}.day >= coalesce(
    (
        select min(s.day)
        from (
            select s.day
            from {{ ref('int_sessions') }} as s
            where s.ended_at >= {{ run_start(around) }} and s.started_at < {{ run_start(around) }}
            offset 0
        ) as s
    ),
    {{ run_days().first }} - {{ around }}
)
{%- endif %}
{%- endmacro %}

{% macro delete_stale_fct_sessions(relation, new_rows) %}
    delete from {{ relation }} as t
    where t.day >= {{ counted_from() }}
        and {{ in_refreshed_session_days('t') }};
{% endmacro %}

{% macro delete_stale_fct_user_paths(relation, new_rows) %}
    delete from {{ relation }} as t
    where t.day >= {{ counted_from() }}
        and {{ in_run_dates('t.day', before=session_days_around(), after=session_days_around()) }};
{% endmacro %}
