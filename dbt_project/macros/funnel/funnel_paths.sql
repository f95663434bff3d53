{#
  The one implementation of a funnel: SQL generated from its configuration.

  A path of length k is k distinct events of one user, event i matching step i, with times that never decrease and at
  most the window between first and last (inclusive). Events with equal times may be taken in either order. A user's
  depth is the length of the longest path. Of the longest ones the timing path is the one that ends first, then starts
  last, then has the earliest events between. Any event that matches step 1 may start a path.
  Mode strict: the path's events are adjacent among all events of the user.
  Exclusions: an attempt is one step-1 event with its best path. It is tainted when an excluded event lies strictly
  between its step `from` and its step `to`, or the end of the window when `to` is not reached. The user takes the
  deepest attempt, an untainted one among equals; a user whose deepest attempts are all tainted is in no row.

  Two queries: one for steps of different event types in mode ordered, and a general one for everything else.

  Generated SQL and not a function in the database: on 2 M events a PL/pgSQL function that is given a user's arrays
  takes 1.05 times as long (1.07 when it walks all events in one loop, and that one does not know the times between),
  and each was written for one number of steps in one mode. A generated query has the general query's steps only where
  a funnel needs them, its lineage can be read, and a change of it is no migration of three cells.

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
  A parenthesised query: one row per user who entered (and per day of the start when by_day) with tenant_id, user_id,
  day and step_1_at … step_n_at, the times of the timing path, null from the first step that was not reached.

  steps                as in the configuration
  window_seconds       integer, or none for no limit
  events               relation or parenthesised query: tenant_id, user_id, occurred_at, event_type, properties
  first_day, last_day  SQL of type date, or none: starts are limited to these days (UTC), and so are the events read,
                       up to the window after the last day
  by_day               one result per user and day of the start; otherwise one per user, and day is null
  mode                 ordered, or strict
  exclusions           list of {type, from, to}: 0-based steps; type none is any event
  sequences            the kept sequences (event_sequences.sql): read instead of events where every step is an event
                       type without properties, the mode is ordered and nothing is excluded
#}
{% macro funnel_paths(
    steps, window_seconds, events=none, first_day=none, last_day=none, by_day=true, mode='ordered', exclusions=[], sequences=none
) -%}
{%- set predicates = [] -%}
{%- set place_of = [] -%}
{%- set types = [] -%}
{%- set with_props = [] -%}
{%- for step in steps -%}
    {%- set predicate = funnel_step_predicate(step) -%}
    {%- if predicate not in predicates -%}
        {%- do predicates.append(predicate) -%}
        {%- do types.append(step if step is string else step['type']) -%}
    {%- endif -%}
    {%- do place_of.append(predicates.index(predicate) + 1) -%}
    {%- if step is not string and step.get('props') -%}{%- do with_props.append(step) -%}{%- endif -%}
{%- endfor -%}
{%- set spec = {
    'steps': steps,
    'types': types,
    'sequences': none if with_props else sequences,
    'predicates': predicates,
    'place_of': place_of,
    'window_seconds': window_seconds,
    'events': events,
    'first_day': first_day,
    'last_day': last_day,
    'by_day': by_day,
    'mode': mode,
    'exclusions': exclusions or [],
} -%}
{%- set exclusive = none not in types and (types | unique | list | length) == (types | length) -%}
{%- if exclusive and mode == 'ordered' and not exclusions -%}
{{ funnel_paths_of_types(spec) }}
{%- else -%}
{{ funnel_paths_general(spec) }}
{%- endif -%}
{%- endmacro %}

{# The end of the days of starts, and the condition that reads no more events than these starts can use. #}
{% macro funnel_start_limit(spec) -%}
((({{ spec.last_day }}) + 1)::timestamp at time zone 'UTC')
{%- endmacro %}

{% macro funnel_event_days(spec) -%}
{%- if spec.first_day is not none %}
            and e.occurred_at >= ({{ spec.first_day }})::timestamp at time zone 'UTC'
{%- endif -%}
{%- if spec.last_day is not none and spec.window_seconds is not none %}
            and e.occurred_at < {{ funnel_start_limit(spec) }} + interval '{{ spec.window_seconds }} seconds'
{%- endif -%}
{%- endmacro %}

{# Condition on a time: within the window of the start, and there. #}
{% macro funnel_in_window(spec, at) -%}
{{ at }}{{ " <= step_1.at + interval '" ~ spec.window_seconds ~ " seconds'" if spec.window_seconds is not none else ' is not null' }}
{%- endmacro %}

{# The order of paths by which a user's (and day's) one is chosen; the first wins. An untainted one goes before. #}
{% macro funnel_path_order(n, is_tainted='') %}
            num_nonnulls({% for k in range(1, n + 1) %}step_{{ k }}_at{{ ', ' if not loop.last }}{% endfor %}) desc,
            {{- is_tainted }}
            coalesce({% for k in range(n, 0, -1) %}step_{{ k }}_at{{ ', ' if not loop.last }}{% endfor %}),
            step_1_at desc
            {%- for k in range(2, n) %},
            step_{{ k }}_at
            {%- endfor %}
{%- endmacro %}

{#
  Steps of different event types, mode ordered, no exclusions.

  Per user one sorted array of times for each distinct step. From a start, the earliest possible event of the next step
  is found by bisection (width_bucket): not earlier than the step before, and beyond the event that an earlier step
  with the same predicate took. Ties need no more care, for no event can serve two different steps. The earliest is
  never worse than a later one, because whatever may follow the later one may follow the earlier one. One lookup per
  start and step is therefore exact, and a user with n events costs n log n, never n squared. The window is applied at
  the end of the chain, for times only grow along it.
#}
{% macro funnel_paths_of_types(spec) -%}
{%- set n = spec.steps | length -%}
{%- set place_of = spec.place_of -%}
(
    with sequences as (
        {{- funnel_kept_sequences(spec) if spec.sequences is not none else funnel_raw_sequences(spec) }}
    )

    select
        s.tenant_id,
        s.user_id,
        {{ 'best.day' if spec.by_day else 'null::date as day' }},
        {%- for k in range(1, n + 1) %}
        best.step_{{ k }}_at{{ ',' if not loop.last }}
        {%- endfor %}
    from sequences as s
    cross join lateral (
        select {{ 'distinct on (attempts.day) ' if spec.by_day }}attempts.*
        from (
            select
                {%- if spec.by_day %}
                (step_1.at at time zone 'UTC')::date as day,
                {%- endif %}
                step_1.at as step_1_at
                {%- for k in range(2, n + 1) %},
                {%- if spec.window_seconds is none %}
                step_{{ k }}.at as step_{{ k }}_at
                {%- else %}
                case when {{ funnel_in_window(spec, 'step_' ~ k ~ '.at') }} then step_{{ k }}.at end as step_{{ k }}_at
                {%- endif %}
                {%- endfor %}
            {%- set known = funnel_step_2_known(spec) == 'true' %}
            from {{ funnel_starts(spec, known) }} as step_1 (at{{ ', next_at' if known }})
            {%- if place_of[0] in place_of[1:] %}
            cross join lateral (
                select width_bucket(step_1.at - interval '1 microsecond', s.times_1) + 1 as i
                offset 0
            ) as place_1
            {%- endif %}
            {#- OFFSET 0 keeps each lookup from being copied into every expression that uses it. #}
            {%- if known %}
            cross join lateral (select step_1.next_at as at) as step_2
            {%- endif %}
            {%- for k in range(3 if known else 2, n + 1) %}
            {%- set p = place_of[k - 1] %}
            {%- set next = 'width_bucket(step_' ~ (k - 1) ~ ".at - interval '1 microsecond', s.times_" ~ p ~ ') + 1' %}
            {%- set taken = namespace(by=0) -%}
            {%- for earlier in range(1, k) if place_of[earlier - 1] == p -%}{%- set taken.by = earlier -%}{%- endfor %}
            {%- if taken.by or p in place_of[k:] %}
            cross join lateral (
                select
                    {%- if taken.by == k - 1 %}
                    place_{{ k - 1 }}.i + 1 as i
                    {%- elif taken.by %}
                    {#- Null when there is no step before: greatest alone would go on from the place that was taken. #}
                    case
                        when step_{{ k - 1 }}.at is not null then greatest({{ next }}, place_{{ taken.by }}.i + 1)
                    end as i
                    {%- else %}
                    {{ next }} as i
                    {%- endif %}
                offset 0
            ) as place_{{ k }}
            {%- set next = 'place_' ~ k ~ '.i' %}
            {%- endif %}
            cross join lateral (
                select s.times_{{ p }}[{{ next }}] as at
                offset 0
            ) as step_{{ k }}
            {%- endfor %}
        ) as attempts
        order by
            {%- if spec.by_day %}
            attempts.day,
            {%- endif %}
            {{- funnel_path_order(n) }}
        {%- if not spec.by_day %}
        limit 1
        {%- endif %}
    ) as best
    where s.starts[1] is not null
)
{%- endmacro %}

{#
  The starts worth trying, a query in the place of a relation.

  Of two starts with no step-2 event from the earlier one until the later one, both chains go on with the same event.
  The later start reaches no less, and of paths of two and more steps that end together it is the timing path's. So
  for each step-2 event only the latest start before it is tried, with the first step-2 event after that start, unless
  this is beyond the window. Whoever gets no further than step 1 has the first start of all as timing path. Rows by day
  try every start, because a later start of another day counts for that day's row.
#}
{% macro funnel_starts(spec, known) -%}
{%- if known -%}
(
                select s.starts[1], null
                union all
                select s.starts[width_bucket(u.at, s.starts)], u.at
                from unnest(s.times_2) with ordinality as u (at, j)
                where width_bucket(u.at, s.starts) > coalesce(width_bucket(s.times_2[u.j - 1], s.starts), 0)
                    {%- if spec.window_seconds is not none %}
                    and u.at <= s.starts[width_bucket(u.at, s.starts)] + interval '{{ spec.window_seconds }} seconds'
                    {%- endif %}
            )
{%- elif spec.place_of | length == 1 and not spec.by_day -%}
(select s.starts[1])
{%- else -%}
unnest(s.starts)
{%- endif %}
{%- endmacro %}

{#
  Whether the starts come with their step 2: no later step may need to know which event either of them took. A later
  step like step 1 may even take the later start's event, where it is at the time of step 2.
#}
{% macro funnel_step_2_known(spec) -%}
{%- set later = spec.place_of[2:] -%}
{{ 'true' if not spec.by_day and spec.place_of[:2] == [1, 2] and 1 not in later and 2 not in later }}
{%- endmacro %}

{# tenant_id, user_id, starts (times of step 1 within the days) and times_1 … of the distinct steps, from events. #}
{% macro funnel_raw_sequences(spec) %}
        select
            tenant_id,
            user_id,
            array_agg(occurred_at) filter (
                where place = 1{{ ' and occurred_at < ' ~ funnel_start_limit(spec) if spec.last_day is not none }}
            ) as starts
            {%- for p in range(1, (spec.predicates | length) + 1) if p > 1 or 1 in spec.place_of[1:] %},
            array_agg(occurred_at) filter (where place = {{ p }}) as times_{{ p }}
            {%- endfor %}
        from (
            select
                e.tenant_id,
                e.user_id,
                e.occurred_at,
                case {% for p in spec.predicates %}when {{ p }} then {{ loop.index }} {% endfor %}end as place
            from {{ spec.events }} as e
            where e.user_id is not null
                and ({{ spec.predicates | join(' or ') }})
                {{- funnel_event_days(spec) }}
            {#- The user first: a sort that begins with a number takes a sixth less than one that begins with a uuid. #}
            order by e.user_id, e.tenant_id, e.occurred_at
        ) as matching_events
        group by user_id, tenant_id
{%- endmacro %}

{#
  The same from the kept sequences (event_sequences.sql): of each user the slice of times that belongs to a type. The
  array is concatenated with nothing so that it leaves its stored form once, and not again for each slice.
#}
{% macro funnel_kept_sequences(spec) %}
        select
            k.tenant_id,
            k.user_id,
            {%- if spec.first_day is none and spec.last_day is none %}
            k.times_1 as starts
            {%- else %}
            k.times_1[
                {%- if spec.first_day is not none -%}
                width_bucket(({{ spec.first_day }})::timestamp at time zone 'UTC' - interval '1 microsecond', k.times_1) + 1
                {%- else %}1{% endif -%}
                :
                {%- if spec.last_day is not none -%}
                width_bucket({{ funnel_start_limit(spec) }} - interval '1 microsecond', k.times_1)
                {%- endif -%}
            ] as starts
            {%- endif %}
            {%- for p in range(1, (spec.predicates | length) + 1) if p > 1 or 1 in spec.place_of[1:] %},
            k.times_{{ p }}
            {%- endfor %}
        from (
            select
                t.tenant_id,
                t.user_id
                {%- for p in range(1, (spec.predicates | length) + 1) %},
                t.times[coalesce(t.ends[t.type_{{ p }} - 1], 0) + 1:t.ends[t.type_{{ p }}]] as times_{{ p }}
                {%- endfor %}
            from (
                select
                    tenant_id,
                    user_id,
                    ends,
                    times || '{}' as times
                    {%- for type in spec.types %},
                    array_position(event_types, {{ funnel_literal(type) }}) as type_{{ loop.index }}
                    {%- endfor %}
                from {{ spec.sequences }} as q
                offset 0
            ) as t
            where t.type_1 is not null
            offset 0
        ) as k
{%- endmacro %}

{#
  The general query: modes ordered and strict, exclusions, and steps that can match the same event.

  A moment is all events of a user at one time, and they may be taken in any order. So what counts of it is which steps
  its events can serve side by side: steps i to j fit when every set of these steps finds at least as many events
  (Hall's condition). A moment's code tells it, four bits for each step i: how many steps from i on fit. A single
  event's code is the mask of the steps it matches. Several events' code is computed once for each supply that occurs.

  An attempt is a step-1 event, and of its moment the other events are left. From there on each step is at the time of
  the step before while that moment's code allows it, and otherwise later. Ordered: at the next moment that has an
  event for the step, which is never worse than a later one, for whatever may follow the later one may follow it.
  Strict: at the user's next moment, once all events of this one are used; of the first moment any number may be used,
  so each is tried. One lookup per attempt and step: a user with n events costs n log n.
#}
{% macro funnel_paths_general(spec) -%}
{%- set n = spec.steps | length -%}
{%- set strict = spec.mode == 'strict' -%}
{%- set exclusions = spec.exclusions -%}
{%- set excluded = [] -%}
{%- set taints = [] -%}
{%- for exclusion in exclusions -%}
    {%- set predicate = funnel_step_predicate({'type': exclusion['type']}) -%}
    {%- if predicate not in excluded -%}{%- do excluded.append(predicate) -%}{%- endif -%}
    {%- do taints.append(funnel_taint(
        spec, 's.excluded_' ~ (excluded.index(predicate) + 1), exclusion['from'] + 1, exclusion['to'] + 1
    )) -%}
{%- endfor -%}
(
    with matching_events as (
        select
            e.tenant_id,
            e.user_id,
            e.occurred_at,
            (
                {%- for step in spec.steps %}
                case when {{ funnel_step_predicate(step) }} then {{ 16 ** loop.index0 }} else 0 end
                {{- ' |' if not loop.last }}
                {%- endfor %}
            )::bigint as mask,
            (0
                {%- for predicate in excluded %}
                | case when {{ predicate }} then {{ 2 ** loop.index0 }} else 0 end
                {%- endfor %})::bigint as excluded
        from {{ spec.events }} as e
        where e.user_id is not null
            {%- if not strict %}
            and ({{ (spec.predicates + excluded) | join(' or ') }})
            {%- endif %}
            {{- funnel_event_days(spec) }}
    ),

    {#- Of events that match the same steps no path can use more than there are steps. #}
    moments as (
        select
            tenant_id,
            user_id,
            occurred_at,
            least(sum(copies), {{ n }})::int as events,
            array_agg((mask << 4) | copies) as supply,
            bit_or(mask) as mask,
            bit_or(excluded) as excluded
        from (
            select
                tenant_id,
                user_id,
                occurred_at,
                mask,
                least(count(*), {{ n }}) as copies,
                bit_or(excluded) as excluded
            from matching_events
            group by tenant_id, user_id, occurred_at, mask
            order by tenant_id, user_id, occurred_at, mask
        ) as kinds
        group by tenant_id, user_id, occurred_at
    ),

    step_sets as (
        select
            sum(1::bigint << (4 * (b.step - 1)))::bigint as mask,
            count(*) as steps,
            min(b.step) as first_step,
            max(b.step) as last_step
        from generate_series(1, {{ 2 ** n - 1 }}) as g (bits)
        cross join generate_series(1, {{ n }}) as b (step)
        where (g.bits >> (b.step - 1)) & 1 = 1
        group by g.bits
    ),

    {#- Each supply whole (taken 0), and without an event that step 1 took from it: codes_of_others has one code each. #}
    supplies as (
        select supply, events, 0 as taken
        from moments
        where events > 1
        union
        select m.supply, m.events, u.i
        from moments as m
        cross join lateral unnest(m.supply) with ordinality as u (kind, i)
        where m.events > 1 and u.kind & 16 <> 0
    ),

    ties as (
        select
            s.supply,
            sum(c.code) filter (where s.taken = 0)::bigint as code,
            array_agg(distinct c.code) filter (where s.taken > 0) as codes_of_others
        from supplies as s
        cross join lateral (
            select
                {%- for k in range(1, n + 1) %}
                ((coalesce(min(d.last_step) filter (where d.first_step >= {{ k }}), {{ n + 1 }}) - {{ k }})::bigint
                    << {{ 4 * (k - 1) }}){{ ' |' if not loop.last else ' as code' }}
                {%- endfor %}
            from step_sets as d
            {#- A set with a smaller one that finds too few events tells nothing new; without, it has one event less. #}
            where d.steps <= s.events + 1
                and d.steps > (
                    select coalesce(sum((u.kind & 15) - (u.i = s.taken)::int), 0)
                    from unnest(s.supply) with ordinality as u (kind, i)
                    where (u.kind >> 4) & d.mask <> 0
                )
        ) as c
        group by s.supply
    ),

    {#- A moment has a row for each different start; o numbers them. #}
    starts as (
        select
            m.tenant_id,
            m.user_id,
            m.occurred_at,
            m.events,
            m.mask,
            m.excluded,
            coalesce(t.code, m.mask) as code,
            c.code_of_others,
            c.o
        from moments as m
        left join ties as t on m.events > 1 and m.supply = t.supply
        cross join lateral unnest(
            case when m.mask & 1 = 0 then '{null}' else coalesce(t.codes_of_others, '{0}') end::bigint[]
        ) with ordinality as c (code_of_others, o)
        order by m.tenant_id, m.user_id, m.occurred_at
    ),

    sequences as (
        select
            tenant_id,
            user_id,
            array_agg(occurred_at) filter (where code_of_others is not null) as starts,
            array_agg(code_of_others) filter (where code_of_others is not null) as codes_of_others
            {%- if strict %},
            array_agg(occurred_at) filter (where o = 1) as times,
            array_agg(code) filter (where o = 1) as codes,
            array_agg(events) filter (where o = 1) as events
            {%- else %}
            {%- for p in range(1, (spec.predicates | length) + 1) %}
            {%- set condition = 'o = 1 and mask & ' ~ 16 ** spec.place_of.index(p) ~ ' <> 0' %},
            array_agg(occurred_at) filter (where {{ condition }}) as times_{{ p }},
            array_agg(code) filter (where {{ condition }}) as codes_{{ p }}
            {%- endfor %}
            {%- endif %}
            {%- for predicate in excluded %},
            array_agg(occurred_at) filter (where o = 1 and excluded & {{ 2 ** loop.index0 }} <> 0)
                as excluded_{{ loop.index }}
            {%- endfor %}
        from starts
        group by tenant_id, user_id
    ),

    {#- entered is the first step at its moment, of start's the second; left_over how many events of it are to be used. #}
    attempts as (
        select
            s.tenant_id,
            s.user_id,
            {{ "(step_1.at at time zone 'UTC')::date" if spec.by_day else 'null::date' }} as day,
            step_1.code as attempt,
            {%- for k in range(1, n + 1) %}
            step_{{ k }}.at as step_{{ k }}_at,
            {%- endfor %}
            {{ taints | join('\n            or ') if taints else 'false' }} as is_tainted
        from sequences as s
        {%- if strict %}
        cross join lateral (
            select u.at, u.code, g.others as must_use, width_bucket(u.at, s.times) as i, 2 as entered
            from unnest(s.starts, s.codes_of_others) as u (at, code)
            cross join lateral generate_series(0, ((u.code >> 4) & 15)::int) as g (others)
        ) as step_1
        {%- else %}
        cross join lateral (
            select u.at, u.code, 2 as entered
            from unnest(s.starts, s.codes_of_others) as u (at, code)
        ) as step_1
        {%- endif %}
        {#- OFFSET 0 keeps each lookup from being copied into every expression that uses it. #}
        {%- for k in range(2, n + 1) %}
        {%- set before = 'step_' ~ (k - 1) %}
        cross join lateral (
            select
                {%- if strict %}
                {{ before }}.i + ({{ k }} - {{ before }}.entered >= {{ before }}.must_use)::int as i,
                {{ k }} - {{ before }}.entered < {{ before }}.must_use as stays
                {%- else %}
                width_bucket({{ before }}.at, s.times_{{ spec.place_of[k - 1] }}) + 1 as i,
                ({{ before }}.code >> (4 * ({{ before }}.entered - 1))) & 15
                    > {{ k }} - {{ before }}.entered as stays
                {%- endif %}
            offset 0
        ) as place_{{ k }}
        {%- if strict %}
        cross join lateral (
            select
                place_{{ k }}.i,
                case when place_{{ k }}.stays then {{ before }}.at else s.times[place_{{ k }}.i] end as at,
                case when place_{{ k }}.stays then {{ before }}.code else s.codes[place_{{ k }}.i] end as code,
                case when place_{{ k }}.stays then {{ before }}.must_use else s.events[place_{{ k }}.i] end as must_use,
                case when place_{{ k }}.stays then {{ before }}.entered else {{ k }} end as entered
            offset 0
        ) as next_{{ k }}
        cross join lateral (
            select
                next_{{ k }}.i,
                next_{{ k }}.code,
                next_{{ k }}.must_use,
                next_{{ k }}.entered,
                case
                    when {{ before }}.at is not null
                        and (next_{{ k }}.code >> (4 * (next_{{ k }}.entered - 1))) & 15 > {{ k }} - next_{{ k }}.entered
                        and {{ funnel_in_window(spec, 'next_' ~ k ~ '.at') }}
                        then next_{{ k }}.at
                end as at
            offset 0
        ) as step_{{ k }}
        {%- else %}
        {%- set p = spec.place_of[k - 1] %}
        {%- set at = 's.times_' ~ p ~ '[place_' ~ k ~ '.i]' %}
        cross join lateral (
            select
                case
                    when place_{{ k }}.stays then {{ before }}.at
                    when {{ funnel_in_window(spec, at) }} then {{ at }}
                end as at,
                case when place_{{ k }}.stays then {{ before }}.code else s.codes_{{ p }}[place_{{ k }}.i] end as code,
                case when place_{{ k }}.stays then {{ before }}.entered else {{ k }} end as entered
            offset 0
        ) as step_{{ k }}
        {%- endif %}
        {%- endfor %}
        {%- if spec.last_day is not none %}
        where step_1.at < {{ funnel_start_limit(spec) }}
        {%- endif %}
    )
    {%- if strict and taints %},

    {#- The best path of each attempt, whether tainted or not: another path does not rescue it. #}
    best_paths as (
        select distinct on (tenant_id, user_id, step_1_at, attempt) *
        from attempts
        order by
            tenant_id,
            user_id,
            step_1_at,
            attempt,
            {{- funnel_path_order(n) }}
    )
    {%- endif %}

    select
        tenant_id,
        user_id,
        day,
        {%- for k in range(1, n + 1) %}
        step_{{ k }}_at{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select distinct on (tenant_id, user_id, day) *
        from {{ 'best_paths' if strict and taints else 'attempts' }}
        order by
            tenant_id,
            user_id,
            day,
            {{- funnel_path_order(n, ' is_tainted,') }}
    ) as chosen
    where not is_tainted
)
{%- endmacro %}

{# Whether an excluded event (a sorted array of their times) lies between two steps of an attempt; false, never null. #}
{% macro funnel_taint(spec, times, first, last) -%}
coalesce(
                {{ times }}[width_bucket(step_{{ first }}.at, {{ times }}) + 1] < coalesce(
                    step_{{ last }}.at,
                    {%- if spec.window_seconds is none %} 'infinity'
                    {%- else %} step_1.at + interval '{{ spec.window_seconds }} seconds'{% endif %}
                ),
                false
            )
{%- endmacro %}

{#
  A parenthesised query: one row per tenant, day and step (1-based) with users (who reached it), avg_seconds and
  median_seconds since the step before. Arguments as for funnel_paths, and:

  touches  relation or parenthesised query (tenant_id, user_id, breakdown_value), one row per user: adds the column
           breakdown_value and counts per value; null is users without a row
#}
{% macro funnel_steps(
    steps,
    window_seconds,
    events=none,
    first_day=none,
    last_day=none,
    by_day=true,
    mode='ordered',
    exclusions=[],
    sequences=none,
    touches=none
) -%}
{%- set n = steps | length -%}
(
    with paths as {{ funnel_paths(steps, window_seconds, events, first_day, last_day, by_day, mode, exclusions, sequences) }},

    days as (
        select
            p.tenant_id,
            p.day,
            {%- if touches is not none %}
            t.breakdown_value,
            {%- endif %}
            {%- for k in range(1, n + 1) %}
            count(p.step_{{ k }}_at) as users_{{ k }}{{ ',' if n > 1 }}
            {%- if k > 1 %}
            {#- Whole microseconds: a sum of doubles depends on the order of the rows, and a rebuild would differ. #}
            (
                avg((date_part('epoch', p.step_{{ k }}_at - p.step_{{ k - 1 }}_at) * 1000000)::bigint) / 1000000
            )::double precision as avg_{{ k }},
            percentile_cont(0.5) within group (
                order by date_part('epoch', p.step_{{ k }}_at - p.step_{{ k - 1 }}_at)
            ) as median_{{ k }}{{ ',' if not loop.last }}
            {%- endif %}
            {%- endfor %}
        from paths as p
        {%- if touches is not none %}
        left join {{ touches }} as t on p.tenant_id = t.tenant_id and p.user_id = t.user_id
        {%- endif %}
        group by p.tenant_id, p.day{{ ', t.breakdown_value' if touches is not none }}
    )

    select
        d.tenant_id,
        d.day,
        {%- if touches is not none %}
        d.breakdown_value,
        {%- endif %}
        s.step,
        s.users,
        s.avg_seconds,
        s.median_seconds
    from days as d
    cross join lateral (
        values
        {%- for k in range(1, n + 1) %}
        (
            {{ k }},
            d.users_{{ k }},
            {% if k > 1 %}d.avg_{{ k }}, d.median_{{ k }}{% else %}null::double precision, null::double precision{% endif %}
        ){{ ',' if not loop.last }}
        {%- endfor %}
    ) as s (step, users, avg_seconds, median_seconds)
)
{%- endmacro %}
