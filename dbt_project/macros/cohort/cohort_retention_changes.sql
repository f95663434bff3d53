{#
  Which cells of the kept retention matrices a run of days can have changed, and what they are now. The cells are those
  of macros/cohort/cohort_retention.sql, which computes whole matrices; that both agree after any order of runs is what
  tests/integration/dbt_project/test_increments.py proves.

  A matrix by day has as many cells as its days squared, and a day changes few of them: its own column, a count of who
  came back that day for each cohort; the row of the day as a cohort; and the rows of cohorts that a late first event
  moved somebody from or to. So of each matrix the periods are found in which something has changed: the run's days, the
  days that are marked in int_user_periods (stale_days), those that the end of the data has reached or passed. What is
  refreshed are the rows and the columns of these periods, and no other cell is read or written.

  Computed whole, by tenant: a matrix of which nothing is kept, one whose configuration has changed, one that has become
  shorter because the last day lost its events; and rolling ones always, for one return changes the cells of all periods
  between it and the one before.

  This file uses nothing of dbt's, so that tests and other programs can render it with Jinja alone.
#}

{# The number of a day's period, by a column that names the period. #}
{% macro _number_in(period, day) -%}
case {{ period }}
            when 'day' then {{ period_number('day', day) }}
            when 'week' then {{ period_number('week', day) }}
            else {{ period_number('month', day) }}
        end
{%- endmacro %}

{# The first day of the period with a number, likewise. #}
{% macro _numbered_in(period, number) -%}
case {{ period }}
            when 'day' then {{ numbered_period('day', number) }}
            when 'week' then {{ numbered_period('week', number) }}
            else {{ numbered_period('month', number) }}
        end
{%- endmacro %}

{#
  A query with the mart's columns: cells as they have to be. A row with cohort_size 0 says that its cohort has no cells
  any more; they go before the others come (cohort_cells_apply).

  cohorts      list of {name, kind, target, return, periods}; target and return are keys of kept steps
  kept         relation int_user_periods
  mart         relation of the kept cells, with a unique index on tenant_id, cohort_name, period, return_period, cohort:
               in this order a new column is written, and the last one read, in one place
  tenant_days  query: tenant_id, first_day, last_day, data_end (moment up to which periods count as over)
  first_day, last_day  SQL of type date: the run's days
#}
{% macro cohort_retention_changes(cohorts, kept, mart, tenant_days, first_day, last_day) -%}
with recursive tenant_days as (
    {{ tenant_days }}
),

matrices (cohort_name, kind, target_event, return_event, period) as (
    values
    {%- for cohort in cohorts %}
    {%- set outer = loop %}
    {%- for period in cohort.periods %}
    ('{{ cohort.name }}', '{{ cohort.kind }}', {{ cohort.target }}, {{ cohort.return }}, '{{ period }}'){{ ',' if not (loop.last and outer.last) }}
    {%- endfor %}
    {%- endfor %}
),

{#- The matrices there are, each found in the index behind the one before; its first cell is its first cohort's. #}
first_cells as (
    (
        select tenant_id, cohort_name, period, cohort, kind, target_event, return_event
        from {{ mart }}
        order by tenant_id, cohort_name, period, return_period, cohort
        limit 1
    )
    union all
    select n.*
    from first_cells as g
    cross join lateral (
        select t.tenant_id, t.cohort_name, t.period, t.cohort, t.kind, t.target_event, t.return_event
        from {{ mart }} as t
        where (t.tenant_id, t.cohort_name, t.period) > (g.tenant_id, g.cohort_name, g.period)
        order by t.tenant_id, t.cohort_name, t.period, t.return_period, t.cohort
        limit 1
    ) as n
),

known as materialized (
    select g.*, l.return_period as last_period, c.return_period as last_complete_period
    from first_cells as g
    cross join lateral (
        select t.return_period
        from {{ mart }} as t
        where t.tenant_id = g.tenant_id and t.cohort_name = g.cohort_name and t.period = g.period
        order by t.return_period desc
        limit 1
    ) as l
    left join lateral (
        select t.return_period
        from {{ mart }} as t
        where t.tenant_id = g.tenant_id and t.cohort_name = g.cohort_name and t.period = g.period and t.is_complete
        order by t.return_period desc
        limit 1
    ) as c on true
),

refreshed as materialized (
    select
        d.tenant_id,
        d.data_end,
        m.*,
        n.last_number,
        k.last_period as known_last_period,
        coalesce(
            k.kind <> m.kind
            or k.target_event <> m.target_event
            or k.return_event <> m.return_event
            or n.known_last_number > n.last_number,
            false
        ) as is_replaced,
        k.tenant_id is null as is_new,
        {#- From here on nothing is kept, or what is kept says of a period that it is over and it is not, or that it is not
            and it is. #}
        least(
            n.known_last_number + 1,
            coalesce({{ _number_in('m.period', 'k.last_complete_period') }} + 1, {{ _number_in('m.period', 'k.cohort') }}),
            {{ _number_in('m.period', "(d.data_end at time zone 'UTC')::date") }}
        ) as stale_from
    from tenant_days as d
    cross join matrices as m
    left join known as k on d.tenant_id = k.tenant_id and m.cohort_name = k.cohort_name and m.period = k.period
    cross join lateral (
        select
            {{ _number_in('m.period', 'd.last_day') }} as last_number,
            {{ _number_in('m.period', 'k.last_period') }} as known_last_number
    ) as n
),

stale as materialized (
    select distinct s.tenant_id, s.cohort_name, s.kind, s.target_event, s.return_event, s.period, s.number
    from (
        select r.*, {{ _number_in('r.period', 'p.day') }} as number
        from refreshed as r
        inner join (
            select distinct p.tenant_id, p.step, n.day::date as day
            from {{ kept }} as p
            cross join unnest(p.stale_days) as u (days)
            cross join generate_series(lower(u.days)::timestamp, upper(u.days) - 1, interval '1 day') as n (day)
        ) as p on r.tenant_id = p.tenant_id and p.step in (r.target_event, r.return_event)

        union all

        select r.*, {{ _number_in('r.period', 'u.day::date') }} as number
        from refreshed as r
        cross join generate_series({{ first_day }}::timestamp, {{ last_day }}, interval '1 day') as u (day)

        union all

        select r.*, n.number
        from refreshed as r
        cross join generate_series(r.stale_from, r.last_number) as n (number)
    ) as s
    where not s.is_new and not s.is_replaced and s.kind <> 'rolling' and s.number <= s.last_number
),

{#- Users who did a step in a stale period. Who was last there before the first of these is not looked at. #}
present as materialized (
    select s.tenant_id, s.cohort_name, s.kind, s.target_event, s.return_event, s.period, s.number, k.user_id, k.step, k.first_number
    from (
        select p.tenant_id, p.user_id, p.step, v.period, v.first_number, v.bits
        from {{ kept }} as p
        cross join lateral (
            values
            ('day', {{ period_number('day', 'p.first_day') }}, p.day_bits),
            ('week', {{ period_number('week', 'p.first_day') }}, p.week_bits),
            ('month', {{ period_number('month', 'p.first_day') }}, p.month_bits)
        ) as v (period, first_number, bits)
        where p.last_day >= (select min({{ _numbered_in('s.period', 's.number') }}) from stale as s)
    ) as k
    inner join stale as s
        on k.tenant_id = s.tenant_id
            and k.period = s.period
            and k.step in (s.target_event, s.return_event)
    where case
            when s.number between k.first_number and k.first_number + length(k.bits) - 1
                then get_bit(k.bits, s.number - k.first_number) = 1
            else false
        end
),

{#- Rows: users of the cohorts of stale periods. #}
members as materialized (
    select tenant_id, cohort_name, period, return_event, number as cohort_number, user_id
    from present
    where step = target_event and (kind = 'recurring' or number = first_number)
),

sizes as (
    select tenant_id, cohort_name, period, cohort_number, count(*) as cohort_size
    from members
    group by tenant_id, cohort_name, period, cohort_number
),

counted as (
    select c.tenant_id, c.cohort_name, c.period, c.cohort_number, c.number, count(*) as users
    from (
        select m.tenant_id, m.cohort_name, m.period, m.cohort_number, n.number
        from members as m
        inner join {{ kept }} as p on m.tenant_id = p.tenant_id and m.user_id = p.user_id and p.step = m.return_event
        cross join lateral (
            select
                case m.period when 'day' then p.day_bits when 'week' then p.week_bits else p.month_bits end as bits,
                {{ _number_in('m.period', 'p.first_day') }} as first_number
        ) as b
        cross join lateral generate_series(greatest(m.cohort_number + 1, b.first_number), b.first_number + length(b.bits) - 1) as n (number)
        where get_bit(b.bits, n.number - b.first_number) = 1

        union all

        {#- Columns: who came back in a stale period, of each cohort before it. #}
        select b.tenant_id, b.cohort_name, b.period, n.number as cohort_number, b.number
        from (
            select
                c.*,
                case c.period when 'day' then p.day_bits when 'week' then p.week_bits else p.month_bits end as bits,
                {{ _number_in('c.period', 'p.first_day') }} as first_target
            from present as c
            inner join {{ kept }} as p on c.tenant_id = p.tenant_id and c.user_id = p.user_id and p.step = c.target_event
            where c.step = c.return_event
        ) as b
        cross join lateral generate_series(
            b.first_target,
            least(
                b.number - 1, case b.kind when 'first_time' then b.first_target else b.first_target + length(b.bits) - 1 end
            )
        ) as n (number)
        where get_bit(b.bits, n.number - b.first_target) = 1
            and (b.tenant_id, b.cohort_name, b.period, n.number) not in (select tenant_id, cohort_name, period, number from stale)
    ) as c
    group by c.tenant_id, c.cohort_name, c.period, c.cohort_number, c.number
),

{#- Every cohort has a cell in the last kept column. #}
known_cohorts as materialized (
    select
        t.tenant_id,
        t.cohort_name,
        t.period,
        t.cohort,
        {{ _number_in('t.period', 't.cohort') }} as cohort_number,
        t.cohort_size,
        t.kind,
        t.target_event,
        t.return_event
    from known as k
    cross join lateral (
        select *
        from {{ mart }} as m
        where m.tenant_id = k.tenant_id
            and m.cohort_name = k.cohort_name
            and m.period = k.period
            and m.return_period = k.last_period
        {#- A matrix after the other by its place in the index, whatever else the planner thinks of. #}
        offset 0
    ) as t
),

cells as (
    select z.tenant_id, z.cohort_name, z.period, z.cohort_number, n.number, z.cohort_size
    from sizes as z
    inner join refreshed as r on z.tenant_id = r.tenant_id and z.cohort_name = r.cohort_name and z.period = r.period
    cross join lateral generate_series(z.cohort_number, r.last_number) as n (number)

    union all

    select k.tenant_id, k.cohort_name, k.period, k.cohort_number, s.number, k.cohort_size
    from known_cohorts as k
    inner join stale as s
        on k.tenant_id = s.tenant_id and k.cohort_name = s.cohort_name and k.period = s.period and k.cohort_number < s.number
    {#- Hashed, as the planner does it for this and not for an EXISTS of whose size it knows nothing. #}
    where (k.tenant_id, k.cohort_name, k.period, k.cohort_number) not in (select tenant_id, cohort_name, period, number from stale)
),

whole as (
    {%- for cohort in cohorts %}
    {%- set outer = loop %}
    {%- for period in cohort.periods %}
    {%- set computed -%}
    (select tenant_id from refreshed where cohort_name = '{{ cohort.name }}' and period = '{{ period }}' and (is_new or is_replaced or kind = 'rolling'))
    {%- endset %}
    select
        r.tenant_id,
        '{{ cohort.name }}'::text as cohort_name,
        '{{ period }}'::text as period,
        {{ period_number(period, 'r.cohort') }} as cohort_number,
        {{ period_number(period, 'r.cohort') }} + r.period_offset as number,
        r.cohort_size,
        r.users
    from {{ cohort_retention_of_kept(
        cohort.kind,
        period,
        '(select * from ' ~ kept ~ ' where step = ' ~ cohort.target ~ ' and tenant_id in ' ~ computed ~ ')',
        '(select * from ' ~ kept ~ ' where step = ' ~ cohort.return ~ ' and tenant_id in ' ~ computed ~ ')',
        "(select tenant_id, date_trunc('" ~ period ~ "', first_day::timestamp)::date as first_period, date_trunc('" ~ period
        ~ "', last_day::timestamp)::date as last_period from tenant_days where tenant_id in " ~ computed ~ ')',
    ) }} as r
    {{ 'union all' if not (loop.last and outer.last) }}
    {%- endfor %}
    {%- endfor %}
),

all_cells as (
    select
        c.tenant_id,
        c.cohort_name,
        c.period,
        c.cohort_number,
        c.number,
        c.cohort_size,
        case when c.number = c.cohort_number then c.cohort_size else coalesce(n.users, 0) end as users
    from cells as c
    left join counted as n
        on c.tenant_id = n.tenant_id
            and c.cohort_name = n.cohort_name
            and c.period = n.period
            and c.cohort_number = n.cohort_number
            and c.number = n.number

    union all

    select * from whole
)

select
    c.tenant_id,
    c.cohort_name,
    r.kind,
    r.target_event,
    r.return_event,
    c.period,
    {{ _numbered_in('c.period', 'c.cohort_number') }} as cohort,
    c.number - c.cohort_number as period_offset,
    {{ _numbered_in('c.period', 'c.number') }} as return_period,
    c.cohort_size,
    c.users,
    (c.users::double precision / c.cohort_size) as retention_rate,
    ({{ _numbered_in('c.period', '(c.number + 1)') }})::timestamp at time zone 'UTC' <= r.data_end as is_complete
from all_cells as c
inner join refreshed as r on c.tenant_id = r.tenant_id and c.cohort_name = r.cohort_name and c.period = r.period

union all

select k.tenant_id, k.cohort_name, k.kind, k.target_event, k.return_event, k.period, k.cohort, 0, k.cohort, 0, 0, 0, false
from known_cohorts as k
left join refreshed as r on k.tenant_id = r.tenant_id and k.cohort_name = r.cohort_name and k.period = r.period
where r.tenant_id is null
    or r.is_replaced
    or (
        (
            r.kind = 'rolling'
            or (k.tenant_id, k.cohort_name, k.period, k.cohort_number) in (select tenant_id, cohort_name, period, number from stale)
        )
        and (k.tenant_id, k.cohort_name, k.period, k.cohort_number) not in (
            select tenant_id, cohort_name, period, cohort_number from all_cells
        )
    )
{%- endmacro %}

{# The statements that bring the mart up to date with the rows of cohort_retention_changes, in a relation. #}
{% macro cohort_cells_apply(mart, changes, keys, columns) -%}
{%- set others = columns | reject('in', keys) | list -%}
delete from {{ mart }} as t
using {{ changes }} as n
where n.cohort_size = 0
    and t.tenant_id = n.tenant_id
    and t.cohort_name = n.cohort_name
    and t.period = n.period
    and t.cohort = n.cohort;

{#- The index finds each row; a join would read the table. #}
insert into {{ mart }} as t ({% for column in columns %}"{{ column }}"{{ ', ' if not loop.last }}{% endfor %})
select {% for column in columns %}"{{ column }}"{{ ', ' if not loop.last }}{% endfor %}
from {{ changes }}
where cohort_size > 0
on conflict ({{ keys | join(', ') }}) do update
set {% for column in others %}"{{ column }}" = excluded."{{ column }}"{{ ', ' if not loop.last }}{% endfor %}
where row({% for column in others %}t."{{ column }}"{{ ', ' if not loop.last }}{% endfor %})
    is distinct from row({% for column in others %}excluded."{{ column }}"{{ ', ' if not loop.last }}{% endfor %});
{%- endmacro %}
