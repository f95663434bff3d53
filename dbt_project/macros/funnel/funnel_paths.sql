{#
  The one implementation of a funnel: SQL generated from its configuration.

  A path of length k is k distinct events of one user, event i matching step i, with times that never decrease and at
  most the window between first and last (inclusive). Events with equal times may be taken in either order. A user's
  depth is the length of the longest path. Of the longest ones the timing path is the one that ends first, then starts
  last, then has the earliest events between. Any event that matches step 1 may start a path.

  How: per user one sorted array of times for each distinct step. From a start, the earliest possible event of the next
  step is found by bisection (width_bucket), and the earliest is never worse than a later one, because whatever may
  follow the later one may follow the earlier one. One lookup per start and step is therefore exact, and a user with n
  events costs n log n, never n squared. Then the best start of a user (and day) is chosen by the order above.

  This file uses nothing of dbt's, so that tests and other programs can render it with Jinja alone (extension "do").
#}

{% macro funnel_literal(text) -%}
'{{ (text | string).replace("'", "''") }}'
{%- endmacro %}

{# SQL that tells whether an event matches a step: its type is the step's and each listed property is equal. #}
{% macro funnel_step_predicate(step) -%}
{%- set conditions = [] -%}
{%- if step is string -%}
    {%- do conditions.append("event_type = " ~ funnel_literal(step)) -%}
{%- else -%}
    {%- if step['type'] is not none -%}
        {%- do conditions.append("event_type = " ~ funnel_literal(step['type'])) -%}
    {%- endif -%}
    {%- for key, value in (step.get('props') or {}).items() -%}
        {#- Jinja's filter, not dbt's function: it writes a quote as a JSON escape, so the literal needs no other. -#}
        {%- do conditions.append(
            "coalesce(properties -> " ~ funnel_literal(key) ~ " = '" ~ (value | tojson) ~ "'::jsonb, false)"
        ) -%}
    {%- endfor -%}
{%- endif -%}
{{ conditions | join(' and ') if conditions else 'true' }}
{%- endmacro %}

{#
  The entry time, that is when an array of a step's times first allows the step, is at this position or later.
  Two rules, each exact for its kind of funnel:
  - exclusive steps (no event can match two different ones): the first time that is not earlier than the step before,
    and beyond the event that an earlier step with the same predicate took. Ties need no more care.
  - overlapping steps: among events of one time a step may need the very event that another took. So a step is at the
    time of the step before only if the events of that moment suffice for all steps that would share it (Hall's
    condition), and otherwise strictly later.
#}
{% macro funnel_place(k, place_of, exclusive) -%}
{%- set p = place_of[k - 1] -%}
{%- if exclusive -%}
    {%- set taken = namespace(by=0) -%}
    {%- for earlier in range(1, k) if place_of[earlier - 1] == p -%}{%- set taken.by = earlier -%}{%- endfor -%}
    {%- if taken.by == k - 1 -%}
            case when step_{{ k - 1 }}.at is not null then place_{{ k - 1 }}.i + 1 end as i
    {%- elif taken.by -%}
            case
                when step_{{ k - 1 }}.at is not null
                    then greatest(
                        width_bucket(step_{{ k - 1 }}.at - interval '1 microsecond', s.times_{{ p }}) + 1,
                        place_{{ taken.by }}.i + 1
                    )
            end as i
    {%- else -%}
            width_bucket(step_{{ k - 1 }}.at - interval '1 microsecond', s.times_{{ p }}) + 1 as i
    {%- endif -%}
{%- else -%}
            width_bucket(step_{{ k - 1 }}.at, s.times_{{ p }}) as i
{%- endif -%}
{%- endmacro %}

{# Whether the events at the time of step k-1 suffice for the steps that would then share it: step_(k-1).entered to k. #}
{% macro funnel_moment_suffices(k, p) -%}
s.times_{{ p }}[place_{{ k }}.i] = step_{{ k - 1 }}.at
            and not exists (
                select
                from generate_series(1, (1 << ({{ k }} - step_{{ k - 1 }}.entered + 1)) - 1) as needed (steps)
                where bit_count(needed.steps::bit(32)) > (
                    select coalesce(sum(s.all_copies[g.i]), 0)
                    from generate_series(
                        width_bucket(step_{{ k - 1 }}.at - interval '1 microsecond', s.all_times) + 1,
                        width_bucket(step_{{ k - 1 }}.at, s.all_times)
                    ) as g (i)
                    where s.all_masks[g.i] & (needed.steps << (step_{{ k - 1 }}.entered - 1)) <> 0
                )
            )
{%- endmacro %}

{#
  A parenthesised query: one row per user who entered (and per day of the start when by_day) with tenant_id, user_id,
  day and step_1_at … step_n_at, the times of the timing path, null from the first step that was not reached.

  steps                as in the configuration
  window_seconds       integer, or none for no limit
  events               relation or parenthesised query: tenant_id, user_id, occurred_at, event_type, properties
  first_day, last_day  SQL of type date, or none: starts are limited to these days (UTC), and so are the events read,
                       up to the window after the last day
  by_day               one result per user and day of the start; otherwise one per user, and day is null
#}
{% macro funnel_paths(steps, window_seconds, events, first_day=none, last_day=none, by_day=true) -%}
{%- set n = steps | length -%}
{%- set predicates = [] -%}
{%- set place_of = [] -%}
{%- set types = [] -%}
{%- for step in steps -%}
    {%- set predicate = funnel_step_predicate(step) -%}
    {%- if predicate not in predicates -%}
        {%- do predicates.append(predicate) -%}
        {%- do types.append(step if step is string else step['type']) -%}
    {%- endif -%}
    {%- do place_of.append(predicates.index(predicate) + 1) -%}
{%- endfor -%}
{%- set exclusive = none not in types and (types | unique | list | length) == (types | length) -%}
{%- set start_limit = "((" ~ last_day ~ ") + 1)::timestamp at time zone 'UTC'" -%}
(
    with matching_events as (
        select
            e.tenant_id,
            e.user_id,
            e.occurred_at,
            {% if exclusive -%}
            case {% for p in predicates %}when {{ p }} then {{ loop.index }} {% endfor %}end as mask
            {%- else -%}
            {% for step in steps -%}
            (case when {{ funnel_step_predicate(step) }} then {{ 2 ** loop.index0 }} else 0 end)
            {{- ' as mask' if loop.last else ' |' }}
            {% endfor %}
            {%- endif %}
        from {{ events }} as e
        where e.user_id is not null
            and ({{ predicates | join(' or ') }})
            {%- if first_day is not none %}
            and e.occurred_at >= ({{ first_day }})::timestamp at time zone 'UTC'
            {%- endif %}
            {%- if last_day is not none and window_seconds is not none %}
            and e.occurred_at < {{ start_limit }} + interval '{{ window_seconds }} seconds'
            {%- endif %}
    ),

    ordered_events as (
        {% if exclusive -%}
        select tenant_id, user_id, occurred_at, mask
        from matching_events
        order by tenant_id, user_id, occurred_at
        {%- else -%}
        {#- Of the events of one moment that match the same steps no path can use more than there are steps. -#}
        select tenant_id, user_id, occurred_at, mask, least(count(*), {{ n }})::int as copies
        from matching_events
        group by tenant_id, user_id, occurred_at, mask
        order by tenant_id, user_id, occurred_at
        {%- endif %}
    ),

    sequences as (
        select
            tenant_id,
            user_id,
            {%- if not exclusive %}
            array_agg(occurred_at) as all_times,
            array_agg(mask) as all_masks,
            array_agg(copies) as all_copies,
            {%- endif %}
            {%- for p in range(1, (predicates | length) + 1) %}
            array_agg(occurred_at) filter (where
                {%- if exclusive %} mask = {{ p }}
                {%- else %} mask & {{ 2 ** place_of.index(p) }} <> 0
                {%- endif %}) as times_{{ p }}{{ ',' if not loop.last }}
            {%- endfor %}
        from ordered_events
        group by tenant_id, user_id
    ),

    attempts as (
        select
            s.tenant_id,
            s.user_id,
            {{ "(step_1.at at time zone 'UTC')::date" if by_day else 'null::date' }} as day,
            {%- for k in range(1, n + 1) %}
            step_{{ k }}.at as step_{{ k }}_at{{ ',' if not loop.last }}
            {%- endfor %}
        from sequences as s
        {#- One start for a moment is enough where steps overlap, for no rule there depends on which event it was. -#}
        {% if exclusive %}
        cross join lateral unnest(s.times_1) with ordinality as step_1 (at, i)
        cross join lateral (select step_1.i offset 0) as place_1
        {%- else %}
        cross join lateral (
            select distinct u.at, 1 as entered
            from unnest(s.times_1) as u (at)
        ) as step_1
        {%- endif %}
        {#- OFFSET 0 keeps each lookup from being copied into every expression that uses it. #}
        {%- for k in range(2, n + 1) %}
        {%- set p = place_of[k - 1] %}
        {%- set limit = " <= step_1.at + interval '" ~ window_seconds ~ " seconds'" if window_seconds is not none
            else ' is not null' %}
        cross join lateral (
            select
            {{ funnel_place(k, place_of, exclusive) }}
            offset 0
        ) as place_{{ k }}
        {%- if exclusive %}
        cross join lateral (
            select case when s.times_{{ p }}[place_{{ k }}.i]{{ limit }} then s.times_{{ p }}[place_{{ k }}.i] end as at
            offset 0
        ) as step_{{ k }}
        {%- else %}
        cross join lateral (
            select
                {{ funnel_moment_suffices(k, p) }} as together
            offset 0
        ) as moment_{{ k }}
        cross join lateral (
            select
                case
                    when moment_{{ k }}.together then step_{{ k - 1 }}.at
                    when s.times_{{ p }}[place_{{ k }}.i + 1]{{ limit }} then s.times_{{ p }}[place_{{ k }}.i + 1]
                end as at,
                case when moment_{{ k }}.together then step_{{ k - 1 }}.entered else {{ k }} end as entered
            offset 0
        ) as step_{{ k }}
        {%- endif %}
        {%- endfor %}
        {%- if last_day is not none %}
        where step_1.at < {{ start_limit }}
        {%- endif %}
    )

    select distinct on (tenant_id, user_id, day) *
    from attempts
    order by
        tenant_id,
        user_id,
        day,
        {%- for k in range(n, 1, -1) %}
        (step_{{ k }}_at is null),
        {%- endfor %}
        coalesce({% for k in range(n, 0, -1) %}step_{{ k }}_at{{ ', ' if not loop.last }}{% endfor %}),
        step_1_at desc
        {%- for k in range(2, n) %},
        step_{{ k }}_at
        {%- endfor %}
)
{%- endmacro %}

{#
  A parenthesised query: one row per tenant, day and step (1-based) with users (who reached it), avg_seconds and
  median_seconds since the step before. Arguments as for funnel_paths.
#}
{% macro funnel_steps(steps, window_seconds, events, first_day=none, last_day=none, by_day=true) -%}
{%- set n = steps | length -%}
(
    with paths as {{ funnel_paths(steps, window_seconds, events, first_day, last_day, by_day) }},

    days as (
        select
            tenant_id,
            day,
            {%- for k in range(1, n + 1) %}
            count(step_{{ k }}_at) as users_{{ k }}{{ ',' if n > 1 }}
            {%- if k > 1 %}
            {#- Whole microseconds: a sum of doubles depends on the order of the rows, and a rebuild would differ. #}
            (
                avg((date_part('epoch', step_{{ k }}_at - step_{{ k - 1 }}_at) * 1000000)::bigint) / 1000000
            )::double precision as avg_{{ k }},
            percentile_cont(0.5) within group (
                order by date_part('epoch', step_{{ k }}_at - step_{{ k - 1 }}_at)
            ) as median_{{ k }}{{ ',' if not loop.last }}
            {%- endif %}
            {%- endfor %}
        from paths
        group by tenant_id, day
    )

    select
        d.tenant_id,
        d.day,
        s.step,
        s.users,
        s.avg_seconds,
        s.median_seconds
    from days as d
    cross join lateral (
        values
        {%- for k in range(1, n + 1) %}
        ({{ k }}, d.users_{{ k }}, {% if k > 1 %}d.avg_{{ k }}, d.median_{{ k }}{% else %}null::double precision, null::double precision{% endif %}){{ ',' if not loop.last }}
        {%- endfor %}
    ) as s (step, users, avg_seconds, median_seconds)
)
{%- endmacro %}
