{#
  Trends of series (a tenant's events of one type): days without gaps, each beside the same weekday of the weeks before.
  This macro uses nothing of dbt's, so that other programs can render it with Jinja alone.

  A day has a row when the type happened on it or in the 42 days before it. So a day without events is a zero, a series
  that never goes on ends, and one that begins has no past that could be taken for zeros.

    level     events of the 7 days before the day: every weekday once
    share     events / level, of days that have a row a week before; null where the level is zero
    expected  the day's level * median of the shares of the same weekday in the 6 weeks before, of at least 3
    spread    how far a usual day lies from that: sqrt(1 + pi / (2 n)), for the median of n shares is uncertain itself,
              times the largest of
                1.4826 * b(n) * median of |share - median share| * level
                                    their median absolute deviation, made a standard deviation [Hampel 1974, The
                                    influence curve and its role in robust estimation]; b(n) corrects it for n = 3 to 6
                                    [Croux and Rousseeuw 1992, Time-efficient algorithms for two highly robust
                                    estimators of scale, table 1]
                2 * sqrt(expected)  events come several to a visit: twice a Poisson variable's standard deviation
                0.05 * expected     three to six shares can lie close together by chance
                3                   events: where hardly anything happens, one visit more is nothing unusual
    score     (events - expected) / spread
    trend     high or low when |score| > 3.5 [Iglewicz and Hoaglin 1993, How to detect and handle outliers, modified
              z-score]; usual when not; new without an expectation

  The share takes out growth, and the weekday the week's rhythm. Medians, because of six weeks two may have been
  unusual themselves. A lasting change is unusual for a day or two, and then the level.

  counts    relation or parenthesised query (tenant_id, event_type, day, events): one row per day, events > 0
  last_day  SQL of type date: the last one that is over
  wanted    condition on s.tenant_id and s.day: only these rows are scored and returned
#}
{% macro event_trends(counts, last_day, wanted='true') -%}
(
    with counted as (
        select
            c.*,
            lead(c.day) over (partition by c.tenant_id, c.event_type order by c.day) as next_day
        from {{ counts }} as c
        where c.day <= {{ last_day }}
    ),

    days as (
        select
            c.tenant_id,
            c.event_type,
            c.day + n.days_since as day,
            {#- Windows count in days; the remainder by 7 is the weekday. #}
            c.day + n.days_since - date '0001-01-01' as number,
            case when n.days_since = 0 then c.events else 0 end as events
        from counted as c
        cross join lateral generate_series(
            0, least(c.next_day - c.day - 1, 42, {{ last_day }} - c.day)
        ) as n (days_since)
    ),

    levels as (
        select
            d.*,
            (sum(d.events) over (of_series range between 7 preceding and 1 preceding))::bigint as level,
            max(d.events) over (of_series range between 7 preceding and 7 preceding) as events_week_before
        from days as d
        window of_series as (partition by d.tenant_id, d.event_type order by d.number)
    ),

    series as (
        select
            l.*,
            array_agg(l.events::double precision / nullif(l.level, 0)) filter (
                where l.level > 0 and l.events_week_before is not null
            ) over (
                partition by l.tenant_id, l.event_type, l.number % 7
                order by l.number
                range between 42 preceding and 7 preceding
            ) as shares
        from levels as l
    ),

    expectations as (
        select
            s.*,
            coalesce(cardinality(s.shares), 0) as baseline_weeks,
            m.share * coalesce(s.level, 0) as expected,
            1.4826 * (array[1.495, 1.363, 1.206, 1.200])[cardinality(s.shares) - 2] * a.deviation
            * coalesce(s.level, 0) as deviation
        from series as s
        left join lateral (
            select percentile_cont(0.5) within group (order by b.share) as share
            from unnest(s.shares) as b (share)
            having count(*) >= 3
        ) as m on true
        left join lateral (
            select percentile_cont(0.5) within group (order by abs(b.share - m.share)) as deviation
            from unnest(s.shares) as b (share)
        ) as a on true
        where {{ wanted }}
    ),

    scored as (
        select
            e.*,
            (e.events - e.expected) / g.spread as score,
            g.spread
        from expectations as e
        cross join lateral (
            select
                case
                    when e.expected is not null
                        then sqrt(1 + pi() / (2 * e.baseline_weeks))
                            * greatest(e.deviation, 2 * sqrt(e.expected), 0.05 * e.expected, 3)
                end as spread
        ) as g
    )

    select
        c.tenant_id,
        c.day,
        c.event_type,
        c.events,
        c.events_week_before,
        c.events - c.events_week_before as change,
        (c.events - c.events_week_before)::double precision / nullif(c.events_week_before, 0) as change_rate,
        c.baseline_weeks,
        c.expected,
        c.spread,
        c.score,
        case
            when c.score is null then 'new'
            when c.score > 3.5 then 'high'
            when c.score < -3.5 then 'low'
            else 'usual'
        end as trend
    from scored as c
)
{%- endmacro %}
