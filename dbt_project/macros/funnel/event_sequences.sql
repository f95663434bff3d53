{#
  The kept compact sequences: one row per tenant and user, with the times of all their events in one array, by event
  type and then time; event_types names the types in the array's order, and ends says where each type's times end. A
  funnel reads one row per user and finds each step's sorted times as a slice, without a sort and without a group.

  A row per user and event type would have a header, keys and array header for each type (about 90 bytes, for some ten
  times of 8 bytes), and each funnel would have to bring a user's rows together again.

  This file uses nothing of dbt's, so that tests and other programs can render it with Jinja alone.
#}

{#
  A query: tenant_id, user_id, event_types, ends, times, first_at, last_at of the events (tenant_id, user_id,
  occurred_at, event_type) of a relation or parenthesised query.
#}
{% macro event_sequences(events) -%}
select
    tenant_id,
    user_id,
    array_agg(event_type) filter (where is_last) as event_types,
    array_agg(place) filter (where is_last) as ends,
    array_agg(occurred_at) as times,
    min(occurred_at) as first_at,
    max(occurred_at) as last_at
from (
    select
        tenant_id,
        user_id,
        event_type,
        occurred_at,
        (row_number() over in_order)::int as place,
        lead(event_type) over in_order is distinct from event_type as is_last
    from {{ events }} as e
    where user_id is not null
    window in_order as (partition by tenant_id, user_id order by event_type collate "C", occurred_at)
) as placed
group by tenant_id, user_id
{%- endmacro %}

{#
  A query with the same columns: the new rows of the users whose row in `kept` differs from what it has to be, once the
  times within a slice are replaced by those of the events within it. A user without any events left has an empty row
  (event_types = '{}').

  first_moment, end_moment  SQL of type timestamptz: the slice, without its end; none is without limit
  retained_from             SQL of type timestamptz for a row t of kept: times before it are dropped as well, for their
                            events are gone. none keeps all
  retained_everywhere_from  SQL of type timestamptz, of no row: no row's retained_from is later
#}
{% macro event_sequences_changed(
    kept, events, first_moment=none, end_moment=none, retained_from=none, retained_everywhere_from="'infinity'"
) -%}
{%- set in_slice = [] -%}
{%- if first_moment is not none -%}{%- do in_slice.append('occurred_at >= ' ~ first_moment) -%}{%- endif -%}
{%- if end_moment is not none -%}{%- do in_slice.append('occurred_at < ' ~ end_moment) -%}{%- endif -%}
with slice_events as (
    select tenant_id, user_id, event_type, occurred_at
    from {{ events }} as e
    where user_id is not null
        {%- for condition in in_slice %}
        and e.{{ condition }}
        {%- endfor %}
),

touched as (
    {#- Users with events or kept times within the slice, or with times before what is retained. #}
    select tenant_id, user_id
    from slice_events
    union
    select t.tenant_id, t.user_id
    from {{ kept }} as t
    where true
        {%- if first_moment is not none %}
        and t.last_at >= {{ first_moment }}
        {%- endif %}
        {%- if end_moment is not none %}
        and t.first_at < {{ end_moment }}
        {%- endif %}
        {%- if in_slice %}
        and exists (
            select from unnest(t.times) as u (occurred_at)
            where u.{{ in_slice | join(' and u.') }}
        )
        {%- endif %}
    {%- if retained_from is not none %}
    union
    select t.tenant_id, t.user_id
    from {{ kept }} as t
    where t.first_at < {{ retained_everywhere_from }}
        and t.first_at < {{ retained_from }}
    {%- endif %}
),

outside as (
    select t.tenant_id, t.user_id, t.event_types[width_bucket(u.i - 1, t.ends) + 1] as event_type, u.occurred_at
    from (
        select t.*, {{ retained_from if retained_from is not none else "'-infinity'::timestamptz" }} as retained_from
        from {{ kept }} as t
        inner join touched as n on t.tenant_id = n.tenant_id and t.user_id = n.user_id
        offset 0
    ) as t
    cross join lateral unnest(t.times) with ordinality as u (occurred_at, i)
    where u.occurred_at >= t.retained_from
        and {% if in_slice %}not (u.{{ in_slice | join(' and u.') }}){% else %}false{% endif %}
),

rebuilt as (
    {{ event_sequences('(
        select tenant_id, user_id, event_type, occurred_at from slice_events
        union all
        select tenant_id, user_id, event_type, occurred_at from outside
    )') | indent(4) }}
)

select
    n.tenant_id,
    n.user_id,
    coalesce(r.event_types, '{}') as event_types,
    coalesce(r.ends, '{}') as ends,
    coalesce(r.times, '{}') as times,
    r.first_at,
    r.last_at
from touched as n
left join rebuilt as r on n.tenant_id = r.tenant_id and n.user_id = r.user_id
left join {{ kept }} as t on n.tenant_id = t.tenant_id and n.user_id = t.user_id
where (t.event_types, t.times) is distinct from (r.event_types, r.times) or t.ends is distinct from r.ends
{%- endmacro %}

{#
  The statements that bring the kept sequences up to date with the rows of event_sequences_changed, in a relation. Rows
  that did not change are not written.
#}
{% macro event_sequences_apply(kept, changed) -%}
{%- set columns = 'tenant_id, user_id, event_types, ends, times, first_at, last_at' -%}
delete from {{ kept }} as t
using {{ changed }} as n
where t.tenant_id = n.tenant_id and t.user_id = n.user_id;

insert into {{ kept }} ({{ columns }})
select {{ columns }}
from {{ changed }}
where event_types <> '{}'
{%- endmacro %}
