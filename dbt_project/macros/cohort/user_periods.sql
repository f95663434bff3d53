{#
  The days on which users did a step, kept as bits: what cohorts are computed from, and what stays of events that
  retention has dropped.

  This file uses nothing of dbt's, so that tests can render it with Jinja alone.
#}

{#
  Rows of int_user_periods: tenant_id, user_id, step, first_day, last_day, day_bits, week_bits, month_bits, stale_days.
  Without `kept` every user of the events; with it, those who have events in the refreshed days, or had: of these users
  exactly the bits of these days are replaced, and users without any bit left give no row.

  stale_days: the days whose bit has changed, and the first day before and after where that has, besides those already
  there; null where nothing has. What is refreshed without an end is computed whole by whatever rests on it, and has none.

  events   parenthesised query: tenant_id, user_id, step, day; at least those of the refreshed days
  bounds   relation or parenthesised query: tenant_id, step, from_day, to_day: the days to refresh, none before from_day,
           and all after it where to_day is null
  kept     the table as it is, or none
#}
{% macro user_periods(events, bounds, kept=none) -%}
(
    with active_days as (
        select distinct e.tenant_id, e.user_id, e.step, e.day, b.from_day
        from {{ events }} as e
        inner join {{ bounds }} as b on e.tenant_id = b.tenant_id and e.step = b.step
        where e.user_id is not null and e.day >= b.from_day and e.day <= coalesce(b.to_day, e.day)
    ),

    marks as (
        select
            tenant_id,
            user_id,
            step,
            string_agg(repeat('0', day - day_before - 1) || '1', '' order by day) as days
        from (
            select
                *,
                lag(day, 1, from_day - 1) over (partition by tenant_id, user_id, step order by day) as day_before
            from active_days
        ) as d
        group by tenant_id, user_id, step
    ),

    {% if kept is none -%}
    rebuilt as (
        select m.tenant_id, m.user_id, m.step, b.from_day as base_day, m.days
        from marks as m
        inner join {{ bounds }} as b on m.tenant_id = b.tenant_id and m.step = b.step
    ),
    {%- else -%}
    affected as (
        select tenant_id, user_id, step
        from marks
        union
        select t.tenant_id, t.user_id, t.step
        from {{ kept }} as t
        inner join {{ bounds }} as b on t.tenant_id = b.tenant_id and t.step = b.step
        where t.last_day >= b.from_day
            and t.first_day <= coalesce(b.to_day, t.first_day)
            and position(
                B'1' in substring(
                    t.day_bits from b.from_day - t.first_day + 1 for coalesce(b.to_day, greatest(t.last_day, b.from_day)) - b.from_day + 1
                )
            ) > 0
    ),

    {#- Before the refreshed days, the refreshed days, and after them. -#}
    rebuilt as (
        select
            a.tenant_id,
            a.user_id,
            a.step,
            least(t.first_day, b.from_day) as base_day,
            b.from_day,
            b.to_day,
            t.first_day as old_first_day,
            t.day_bits as old_bits,
            t.stale_days as old_stale_days,
            case
                when t.first_day < b.from_day
                    then rpad(left(t.day_bits::text, b.from_day - t.first_day), b.from_day - t.first_day, '0')
                else ''
            end
            || case
                when b.to_day is null then coalesce(m.days, '')
                else rpad(coalesce(m.days, ''), b.to_day - b.from_day + 1, '0')
            end
            || case
                when t.first_day > b.to_day then repeat('0', t.first_day - b.to_day - 1) || t.day_bits::text
                when t.last_day > b.to_day then substr(t.day_bits::text, b.to_day - t.first_day + 2)
                else ''
            end as days
        from affected as a
        inner join {{ bounds }} as b on a.tenant_id = b.tenant_id and a.step = b.step
        left join {{ kept }} as t on a.tenant_id = t.tenant_id and a.user_id = t.user_id and a.step = t.step
        left join marks as m on a.tenant_id = m.tenant_id and a.user_id = m.user_id and a.step = m.step
    ),
    {%- endif %}

    trimmed as (
        select
            tenant_id,
            user_id,
            step,
            base_day + strpos(days, '1') - 1 as first_day,
            btrim(days, '0') as days
            {%- if kept is not none %},
            from_day,
            to_day,
            old_first_day,
            old_bits,
            old_stale_days
            {%- endif %}
        from rebuilt
        where strpos(days, '1') > 0
        {#- Made once a row, and not again for every week and month that looks at it. #}
        offset 0
    )

    select
        t.tenant_id,
        t.user_id,
        t.step,
        t.first_day,
        t.first_day + length(t.days) - 1 as last_day,
        t.days::varbit as day_bits,
        (
            select string_agg((strpos(substr(w.days, n.i * 7 + 1, 7), '1') > 0)::int::text, '' order by n.i)
            from (select repeat('0', extract(isodow from t.first_day)::int - 1) || t.days as days offset 0) as w
            cross join lateral generate_series(0, (length(w.days) - 1) / 7) as n (i)
        )::varbit as week_bits,
        (
            select
                string_agg(
                    (
                        strpos(
                            substr(
                                t.days,
                                greatest(n.starts::date - t.first_day, 0) + 1,
                                (n.starts + interval '1 month')::date - greatest(n.starts::date, t.first_day)
                            ),
                            '1'
                        ) > 0
                    )::int::text,
                    '' order by n.starts
                )
            from generate_series(
                date_trunc('month', t.first_day::timestamp),
                (t.first_day + length(t.days) - 1)::timestamp,
                interval '1 month'
            ) as n (starts)
        )::varbit as month_bits,
        {% if kept is none -%}
        null::datemultirange as stale_days
        {%- else -%}
        (
            select range_agg(s.days)
            from (
                select u.days
                from unnest(t.old_stale_days) as u (days)
                union all
                select daterange(d.day, d.day, '[]')
                from generate_series(t.from_day - t.first_day, t.to_day - t.first_day) as n (i)
                cross join lateral (select t.first_day + n.i as day, t.first_day + n.i - t.old_first_day as old_i) as d
                {#- Outside of the bits, and where there were none, the day was none of the user's. #}
                where (substr(t.days, n.i + 1, 1) = '1')
                    <> coalesce(d.old_i >= 0 and substr(t.old_bits::text, d.old_i + 1, 1) = '1', false)
                union all
                select daterange(u.day, u.day, '[]')
                from unnest(array[t.old_first_day, t.first_day]) as u (day)
                where t.old_first_day <> t.first_day
            ) as s
        ) as stale_days
        {%- endif %}
    from trimmed as t
)
{%- endmacro %}
