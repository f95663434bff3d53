-- Known users of each day (UTC) up to today, exact; days do not add up to users.
select
    (t.bucket at time zone 'UTC')::date as day,
    coalesce(u.users, 0) as users
from generate_series(%(start)s, %(running)s, interval '24 hours') as t (bucket)
left join (
    select
        bucket,
        count(*) as users
    from analytics.tenant_user_days
    where bucket >= %(start)s and bucket < %(running)s
    group by bucket

    union all
    -- The running day changes with every event, and an index has its users.
    select
        %(running)s,
        count(*)
    from (
        select user_id
        from analytics.tenant_events
        where time >= %(running)s and time < %(stop)s and user_id is not null
        group by user_id
    ) as today
) as u on t.bucket = u.bucket
order by day
