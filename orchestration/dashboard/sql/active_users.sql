-- Known users of today, of the last 7 and of the last 30 days (UTC, today included), exact; stickiness is daily by monthly.
select
    (%(stop)s::timestamptz at time zone 'UTC')::date - 1 as day,
    count(*) filter (where u.last_day >= %(running)s) as daily,
    count(*) filter (where u.last_day >= %(stop)s - interval '168 hours') as weekly,
    count(*) as monthly,
    count(*) filter (where u.last_day >= %(running)s)::double precision
    / nullif(count(*), 0) as stickiness
from (
    select max(d.bucket) as last_day
    from (
        select user_id, bucket
        from analytics.tenant_user_days
        where bucket >= %(start)s and bucket < %(running)s

        union all
        -- The running day changes with every event, and an index has its users; each once, before they are joined to
        -- those of the other days.
        select user_id, %(running)s as bucket
        from analytics.tenant_events
        where time >= %(running)s and time < %(stop)s and user_id is not null
        group by user_id
    ) as d
    group by d.user_id
) as u
