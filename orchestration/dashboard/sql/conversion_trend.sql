-- Of those who entered the funnel on each day (UTC), how many finished; the rate over 7 days is a ratio of sums.
select
    day,
    entered,
    converted,
    converted::double precision / nullif(entered, 0) as conversion_rate,
    (sum(converted) over last_7)::double precision / nullif(sum(entered) over last_7, 0) as conversion_rate_7_days,
    is_complete
from (
    select
        (t.bucket at time zone 'UTC')::date as day,
        coalesce(c.entered, 0) as entered,
        coalesce(c.converted, 0) as converted,
        c.is_complete
    -- Six days more, for the sums.
    from generate_series(
        %(start)s - interval '144 hours', %(stop)s - interval '24 hours', interval '24 hours'
    ) as t (bucket)
    left join marts.fct_funnel_conversion as c
        on c.day = (t.bucket at time zone 'UTC')::date and c.funnel = %(funnel)s
) as d
window last_7 as (order by day rows 6 preceding)
order by day
offset 6
