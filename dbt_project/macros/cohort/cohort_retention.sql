{#
  The one implementation of cohort retention: SQL generated from kind and period.

  A user counts once per period (day, ISO week, month; UTC). first_time: a user's cohort is the period of the first
  target event of all that are given, also those before the range. recurring and rolling: a user is in the cohort of
  every period with a target event. At offset 0 stands the cohort's size, whether or not the return event happened; at
  j >= 1 the cohort's users with the return event in period cohort + j (rolling: in any period from there to the last).

  How: one pass over the events leaves a user's periods as bits of a few integers, so no event is ever joined.
  first_time counts users of one cohort and one pattern of bits before the bits are looked at. For recurring and rolling
  the matrix is turned: each period becomes a string with one bit per user, and a cohort's users of a later period are
  the bits that both strings have. A user with n active periods costs n bits, never n squared rows.

  cohort_retention reads events, cohort_retention_of_kept the bits that intermediate.int_user_periods keeps of them. Only
  the way to a user's periods differs.

  This file uses nothing of dbt's, so that tests and other programs can render it with Jinja alone.
#}

{# Bits of an integer that are used: fewer than 63, so that no sign is in the way, and a multiple of the table's ten. #}
{% macro word_bits() -%}60{%- endmacro %}

{# First day of the period that a timestamptz falls in. #}
{% macro period_start(period, moment) -%}
date_trunc('{{ period }}', {{ moment }} at time zone 'UTC')::date
{%- endmacro %}

{# The number of a day's period: consecutive periods differ by one. 0001-01-01 was a Monday, and nothing is earlier. #}
{% macro period_number(period, day) -%}
{%- if period == 'month' -%}
(date_part('year', {{ day }}) * 12 + date_part('month', {{ day }}) - 1)::int
{%- elif period == 'week' -%}
(({{ day }} - date '0001-01-01') / 7)
{%- else -%}
({{ day }} - date '0001-01-01')
{%- endif -%}
{%- endmacro %}

{# The first day of the period with a number. #}
{% macro numbered_period(period, number) -%}
{%- if period == 'month' -%}
make_date({{ number }} / 12, {{ number }} % 12 + 1, 1)
{%- elif period == 'week' -%}
(date '0001-01-01' + {{ number }} * 7)
{%- else -%}
(date '0001-01-01' + {{ number }})
{%- endif -%}
{%- endmacro %}

{#
  Per user the periods with an event as bits, the first of them the highest: period number = word * 60 + position. For
  days and weeks.

  A matrix from events spends its time here, so a row pays for no more than it must: UTC as an interval is a
  subtraction, and as a name it is looked up each time; and words are cut off by date_bin, not by a second division.
#}
{% macro _words_of_events(period, events) -%}
{%- set days = (word_bits() | int) * (7 if period == 'week' else 1) -%}
{%- set word = "date_bin('" ~ days ~ " days', occurred_at, timestamptz '0001-01-01 00:00:00+00')" -%}
select
            tenant_id,
            user_id,
            {{ period_number(period, "(starts at time zone interval '0')::date") }} / {{ word_bits() }} as word,
            active
        from (
            select
                tenant_id,
                user_id,
                {{ word }} as starts,
                bit_or(
                    1::bigint << (
                        {{ word_bits() | int - 1 }}
                        - {{ period_number(period, "(occurred_at at time zone interval '0')::date") }} % {{ word_bits() }}
                    )
                ) as active
            from {{ events }} as e
            where user_id is not null
            group by tenant_id, user_id, {{ word }}
        ) as binned
{%- endmacro %}

{# The words of months from a relation with the words of days: a word of days has two or three months. #}
{% macro _months_of_days(day_words) -%}
select
            d.tenant_id,
            d.user_id,
            m.month_number / {{ word_bits() }} as word,
            bit_or(1::bigint << ({{ word_bits() | int - 1 }} - m.month_number % {{ word_bits() }})) as active
        from {{ day_words }} as d
        inner join (
            select word, month_number, bit_or(1::bigint << ({{ word_bits() | int - 1 }} - position)) as days
            from (
                select
                    w.word,
                    p.position,
                    {{ period_number('month', numbered_period('day', '(w.word * ' ~ word_bits() ~ ' + p.position)')) }}
                        as month_number
                from (select distinct word from {{ day_words }}) as w
                cross join generate_series(0, {{ word_bits() | int - 1 }}) as p (position)
            ) as n
            group by word, month_number
        ) as m on d.word = m.word
        where d.active & m.days <> 0
        group by d.tenant_id, d.user_id, m.month_number / {{ word_bits() }}
{%- endmacro %}

{#
  Rows with word and active, once for each ten of their bits that is not empty: pattern, and base, the number of the
  first of the ten periods. Joined with patterns by pattern, each bit that is set is a row.

  OFFSET 0 makes that a hash join: without it the two are joined within each row, which reads all patterns every time.
#}
{% macro _tens_of_words(words) -%}
(
            select w.*, tens.pattern, tens.base
            from {{ words }} as w
            cross join lateral (
                values
                {%- for position in range(0, word_bits() | int, 10) %}
                (
                    ((w.active >> {{ word_bits() | int - 10 - position }}) & 1023)::int,
                    w.word * {{ word_bits() }} + {{ position }}
                ){{ ',' if not loop.last }}
                {%- endfor %}
            ) as tens (pattern, base)
            where tens.pattern <> 0
            offset 0
        )
{%- endmacro %}

{# The same of rows with a string of bits, whose first one is the period first_number. #}
{% macro _tens_of_bits(relation) -%}
(
            select
                k.*,
                k.first_number + k.position as base,
                substring(k.bits from k.position + 1 for 10)::bit(10)::int as pattern
            from (
                select b.*, generate_series(0, length(b.bits) - 1, 10) as position
                from {{ relation }} as b
            ) as k
        )
{%- endmacro %}

{#
  A parenthesised query: one row per tenant, cohort and offset from 0 to the last period of the tenant's range, with
  cohort (date, the period's first day), period_offset, cohort_size and users.

  targets, returns  relation or parenthesised query: tenant_id, user_id, occurred_at; the same text is read once
  ranges            relation or parenthesised query, one row per tenant: tenant_id, first_period, last_period (dates)
#}
{% macro cohort_retention(kind, period, targets, returns, ranges) -%}
{{ _cohort_matrix(kind, period, targets, returns, ranges, false) }}
{%- endmacro %}

{#
  The same rows from kept bits.

  targets, returns  relation or parenthesised query, one row per tenant and user: tenant_id, user_id, first_day and the
                    bits of the period (day_bits, week_bits or month_bits), the first one that of first_day; the same
                    text is read once
#}
{% macro cohort_retention_of_kept(kind, period, targets, returns, ranges) -%}
{{ _cohort_matrix(kind, period, targets, returns, ranges, true) }}
{%- endmacro %}

{% macro _cohort_matrix(kind, period, targets, returns, ranges, kept) -%}
{%- set names = ['target'] if targets == returns else ['target', 'return'] -%}
{%- set return_name = names[-1] -%}
(
    with periods_of_ranges as (
        select
            tenant_id,
            {{ period_number(period, 'first_period') }} as first_number,
            {{ period_number(period, 'last_period') }} as last_number
        from {{ ranges }} as r
    ),

    {#- Which of ten bits are set, for each number that ten bits make. #}

    patterns as materialized (
        select n.pattern, p.position
        from generate_series(1, 1023) as n (pattern)
        cross join generate_series(0, 9) as p (position)
        {#- A cast to boolean is expected to hold for a third of the rows, a comparison for next to none. #}
        where ((n.pattern >> (9 - p.position)) & 1)::boolean
    ),

    {% if kept -%}
    {% for name in names -%}
    {{ name }}_bits as (
        select tenant_id, user_id, {{ period_number(period, 'first_day') }} as first_number, {{ period }}_bits as bits
        from {{ targets if name == 'target' else returns }} as k
    ),

    {% endfor -%}
    {%- else -%}
    {#- The first target of all needs no words, unless the same events are the returns. -#}
    {% for name in (names if kind != 'first_time' else [return_name]) -%}
    {% set events = targets if name == 'target' else returns -%}
    {% if period == 'month' -%}
    {{ name }}_day_words as (
        {{ _words_of_events('day', events) }}
    ),

    {{ name }}_words as (
        {{ _months_of_days(name ~ '_day_words') }}
    ),

    {% else -%}
    {{ name }}_words as (
        {{ _words_of_events(period, events) }}
    ),

    {% endif -%}
    {% endfor -%}
    {% endif -%}
    {% if kind == 'first_time' -%}
    {% if not kept -%}
    first_targets as (
        {% if targets == returns -%}
        select
            tenant_id,
            user_id,
            min(word * {{ word_bits() }} + position(B'1' in active::bit({{ word_bits() }})) - 1) as first_number
        from target_words
        {%- else -%}
        select
            tenant_id,
            user_id,
            {{ period_number(period, "(min(occurred_at) at time zone 'UTC')::date") }} as first_number
        from {{ targets }} as t
        where user_id is not null
        {%- endif %}
        group by tenant_id, user_id
    ),

    {% endif -%}
    cohorts as (
        select c.tenant_id, c.cohort_number, r.last_number, c.cohort_size
        from (
            select tenant_id, first_number as cohort_number, count(*) as cohort_size
            from {{ 'target_bits' if kept else 'first_targets' }}
            group by tenant_id, first_number
        ) as c
        inner join periods_of_ranges as r on c.tenant_id = r.tenant_id
        where c.cohort_number between r.first_number and r.last_number
    ),

    {#- Users of a cohort with the same periods are one row from here on. -#}
    alike as (
        {% if not kept -%}
        select c.tenant_id, c.first_number as cohort_number, w.word, w.active, count(*) as users
        from first_targets as c
        inner join {{ return_name }}_words as w on c.tenant_id = w.tenant_id and c.user_id = w.user_id
        group by c.tenant_id, c.first_number, w.word, w.active
        {%- elif targets == returns -%}
        select tenant_id, first_number as cohort_number, base, pattern, count(*) as users
        from {{ _tens_of_bits('target_bits') }} as w
        group by tenant_id, first_number, base, pattern
        {%- else -%}
        select c.tenant_id, c.first_number as cohort_number, w.base, w.pattern, count(*) as users
        from target_bits as c
        inner join {{ _tens_of_bits('return_bits') }} as w on c.tenant_id = w.tenant_id and c.user_id = w.user_id
        group by c.tenant_id, c.first_number, w.base, w.pattern
        {%- endif %}
    ),

    returned as (
        select
            w.tenant_id,
            w.cohort_number,
            w.base + patterns.position - w.cohort_number as period_offset,
            sum(w.users)::bigint as users
        from {{ 'alike' if kept else _tens_of_words('alike') }} as w
        inner join patterns on w.pattern = patterns.pattern
        where w.base + patterns.position > w.cohort_number
        group by 1, 2, 3
    ),
    {%- else -%}
    {#- Users of cohorts get numbers without gaps, within their tenant. -#}
    cohort_users as (
        select
            t.tenant_id,
            t.user_id,
            r.first_number,
            r.last_number,
            (row_number() over (partition by t.tenant_id))::int - 1 as user_number
        from (select distinct tenant_id, user_id from target_{{ 'bits' if kept else 'words' }}) as t
        inner join periods_of_ranges as r on t.tenant_id = r.tenant_id
    ),

    blocks as (
        select tenant_id, max(user_number) / {{ word_bits() }} as last_block
        from cohort_users
        group by tenant_id
    ),

    {% for name in names -%}
    {{ name }}_tens as (
        select tenant_id, user_id, base, pattern
        from {{ _tens_of_bits(name ~ '_bits') if kept else _tens_of_words(name ~ '_words') }} as w
    ),

    {% endfor -%}
    {% for name in ['target', 'return'] -%}
    {{ name }}_blocks as (
        {% if kind == 'rolling' and name == 'return' -%}
        select
            tenant_id,
            last_return as period_number,
            user_number / {{ word_bits() }} as block,
            bit_or(1::bigint << (user_number % {{ word_bits() }})) as users
        from (
            select c.tenant_id, c.user_number, max(w.base + patterns.position) as last_return
            from {{ return_name }}_tens as w
            inner join patterns on w.pattern = patterns.pattern
            inner join cohort_users as c on w.tenant_id = c.tenant_id and w.user_id = c.user_id
            where w.base + patterns.position <= c.last_number
            group by c.tenant_id, c.user_number
        ) as last_returns
        group by 1, 2, 3
        {%- else -%}
        select
            c.tenant_id,
            w.base + patterns.position as period_number,
            c.user_number / {{ word_bits() }} as block,
            bit_or(1::bigint << (c.user_number % {{ word_bits() }})) as users
        from {{ return_name if name == 'return' else 'target' }}_tens as w
        inner join patterns on w.pattern = patterns.pattern
        inner join cohort_users as c on w.tenant_id = c.tenant_id and w.user_id = c.user_id
        where w.base + patterns.position between c.first_number and c.last_number
        group by 1, 2, 3
        {%- endif %}
    ),

    {#- Every period gets every block, so that a user is at the same position of every string. -#}
    {{ name }}_periods as materialized (
        select
            tenant_id,
            period_number,
            string_agg(users::bit({{ word_bits() }})::text, '' order by block)::varbit as users
        from (
            select tenant_id, period_number, block, max(users) as users
            from (
                select tenant_id, period_number, block, users
                from {{ name }}_blocks
                union all
                select p.tenant_id, p.period_number, n.block, 0
                from (select distinct tenant_id, period_number from {{ name }}_blocks) as p
                inner join blocks as t on p.tenant_id = t.tenant_id
                cross join lateral generate_series(0, t.last_block) as n (block)
            ) as with_empty
            group by tenant_id, period_number, block
        ) as every_block
        group by tenant_id, period_number
    ),

    {% endfor -%}
    cohorts as (
        select c.tenant_id, c.period_number as cohort_number, r.last_number, bit_count(c.users) as cohort_size
        from target_periods as c
        inner join periods_of_ranges as r on c.tenant_id = r.tenant_id
    ),

    returned as (
        select
            c.tenant_id,
            c.period_number as cohort_number,
            a.period_number - c.period_number as period_offset,
            bit_count(c.users & a.users) as users
        from target_periods as c
        inner join return_periods as a on c.tenant_id = a.tenant_id and c.period_number < a.period_number
    ),
    {%- endif %}

    matrix as (
        select tenant_id, cohort_number, period_offset, max(cohort_size) as cohort_size, sum(users)::bigint as users
        from (
            select c.tenant_id, c.cohort_number, o.period_offset, c.cohort_size, 0 as users
            from cohorts as c
            cross join lateral generate_series(0, c.last_number - c.cohort_number) as o (period_offset)
            union all
            select tenant_id, cohort_number, period_offset, null, users
            from returned
        ) as cells
        group by tenant_id, cohort_number, period_offset
    )

    select
        tenant_id,
        {{ numbered_period(period, 'cohort_number') }} as cohort,
        period_offset,
        cohort_size,
        case
            when period_offset = 0 then cohort_size
            else {% if kind == 'rolling' -%}
            (sum(users) over (partition by tenant_id, cohort_number order by period_offset desc))::bigint
            {%- else -%}
            users
            {%- endif %}
        end as users
    from matrix
    {#- Returns after the range are no part of it. #}
    where cohort_size is not null
)
{%- endmacro %}
