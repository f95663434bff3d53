{#
  The one implementation of cohort retention: SQL generated from kind and period.

  A user counts once per period (day, ISO week, month; UTC). first_time: a user's cohort is the period of the first
  target event of all that are given, also those before the range. recurring and rolling: a user is in the cohort of
  every period with a target event. At offset 0 stands the cohort's size, whether or not the return event happened; at
  j >= 1 the cohort's users with the return event in period cohort + j (rolling: in any period from there to the last).

  This file uses nothing of dbt's, so that tests and other programs can render it with Jinja alone.
#}

{# First day of the period that a timestamptz falls in. #}
{% macro period_start(period, moment) -%}
date_trunc('{{ period }}', {{ moment }} at time zone 'UTC')::date
{%- endmacro %}

{# The period's number: consecutive periods differ by one. 1970-01-05 was a Monday. #}
{% macro period_number(period, day) -%}
{%- if period == 'month' -%}
(date_part('year', {{ day }}) * 12 + date_part('month', {{ day }}))::int
{%- elif period == 'week' -%}
(({{ day }} - date '1970-01-05') / 7)
{%- else -%}
({{ day }} - date '1970-01-01')
{%- endif -%}
{%- endmacro %}

{#
  A parenthesised query: one row per tenant, cohort and offset from 0 to the last period of the tenant's range, with
  cohort (date, the period's first day), period_offset, cohort_size and users.

  targets, returns  relation or parenthesised query: tenant_id, user_id, occurred_at
  ranges            relation or parenthesised query, one row per tenant: tenant_id, first_period, last_period (dates)
#}
{% macro cohort_retention(kind, period, targets, returns, ranges) -%}
(
    with user_cohorts as (
        {% if kind == 'first_time' -%}
        select tenant_id, user_id, {{ period_start(period, 'min(occurred_at)') }} as cohort
        from {{ targets }} as t
        where user_id is not null
        group by tenant_id, user_id
        {%- else -%}
        select distinct tenant_id, user_id, {{ period_start(period, 'occurred_at') }} as cohort
        from {{ targets }} as t
        where user_id is not null
        {%- endif %}
    ),

    cohort_users as (
        select c.tenant_id, c.user_id, c.cohort
        from user_cohorts as c
        inner join {{ ranges }} as r on c.tenant_id = r.tenant_id
        where c.cohort between r.first_period and r.last_period
    ),

    active_periods as (
        select distinct tenant_id, user_id, {{ period_start(period, 'occurred_at') }} as active_in
        from {{ returns }} as a
        where user_id is not null
    ),

    returned as (
        {% if kind == 'rolling' -%}
        {#- A user who returned in a period counts at every offset up to that one. -#}
        select tenant_id, cohort, last_offset as period_offset, count(*) as users
        from (
            select
                c.tenant_id,
                c.cohort,
                c.user_id,
                max({{ period_number(period, 'a.active_in') }}) - {{ period_number(period, 'c.cohort') }} as last_offset
            from cohort_users as c
            inner join active_periods as a on c.tenant_id = a.tenant_id and c.user_id = a.user_id
            inner join {{ ranges }} as r on c.tenant_id = r.tenant_id
            where a.active_in > c.cohort and a.active_in <= r.last_period
            group by c.tenant_id, c.cohort, c.user_id
        ) as last_returns
        group by tenant_id, cohort, last_offset
        {%- else -%}
        select
            c.tenant_id,
            c.cohort,
            {{ period_number(period, 'a.active_in') }} - {{ period_number(period, 'c.cohort') }} as period_offset,
            count(*) as users
        from cohort_users as c
        inner join active_periods as a on c.tenant_id = a.tenant_id and c.user_id = a.user_id
        where a.active_in > c.cohort
        group by 1, 2, 3
        {%- endif %}
    ),

    cohorts as (
        select
            c.tenant_id,
            c.cohort,
            count(*) as cohort_size,
            {{ period_number(period, 'r.last_period') }} - {{ period_number(period, 'c.cohort') }} as last_offset
        from cohort_users as c
        inner join {{ ranges }} as r on c.tenant_id = r.tenant_id
        group by c.tenant_id, c.cohort, r.last_period
    ),

    grid as (
        select c.tenant_id, c.cohort, c.cohort_size, o.period_offset
        from cohorts as c
        cross join lateral generate_series(0, c.last_offset) as o (period_offset)
    )

    select
        g.tenant_id,
        g.cohort,
        g.period_offset,
        g.cohort_size,
        case
            when g.period_offset = 0 then g.cohort_size
            else {% if kind == 'rolling' -%}
            coalesce(
                sum(u.users) over (partition by g.tenant_id, g.cohort order by g.period_offset desc), 0
            )::bigint
            {%- else -%}
            coalesce(u.users, 0)
            {%- endif %}
        end as users
    from grid as g
    left join returned as u
        on g.tenant_id = u.tenant_id and g.cohort = u.cohort and g.period_offset = u.period_offset
)
{%- endmacro %}
