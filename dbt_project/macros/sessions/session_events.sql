{#
  Sessions, defined once: for the sessions themselves and for the paths through them.

  A session is a known user's events with the same session_id; one that has been silent for more than a day is another
  session. Events without session_id form sessions of their own, which end after 30 minutes without such an event.
  Events of one moment are in the order of event_id, then of event_type.
#}

{# Longest silence within a session; what it is decides how far a late event can reach, see session_days_around. #}
{% macro session_silence(session_id) -%}
case when {{ session_id }} is null then interval '30 minutes' else interval '1 day' end
{%- endmacro %}

{# Days before and after an event's day in which sessions can hang on it: the longest silence, in days. #}
{% macro session_days_around() -%}
{{ return(1) }}
{%- endmacro %}

{#
  A parenthesised query: the events with starts_session, and previous_at, previous_type and next_at of the same session
  or null.

  events  relation or parenthesised query: tenant_id, user_id (never null), session_id, event_id, event_type,
          occurred_at, and the columns named in more
#}
{% macro session_events(events, more=[]) -%}
(
    select
        o.*,
        o.previous_at is null or o.occurred_at - o.previous_at > {{ session_silence('o.session_id') }} as starts_session,
        o.next_at is null or o.next_at - o.occurred_at > {{ session_silence('o.session_id') }} as ends_session
    from (
        select
            e.tenant_id,
            e.user_id,
            e.session_id,
            e.event_id,
            e.event_type,
            e.occurred_at,
            {%- for column in more %}
            e.{{ column }},
            {%- endfor %}
            lag(e.occurred_at) over in_order as previous_at,
            lead(e.occurred_at) over in_order as next_at,
            lead(e.event_type) over in_order as next_type
        from {{ events }} as e
        window in_order as (
            partition by e.tenant_id, e.user_id, e.session_id order by e.occurred_at, e.event_id, e.event_type
        )
    ) as o
)
{%- endmacro %}
