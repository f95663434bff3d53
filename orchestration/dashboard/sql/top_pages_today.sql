-- The most viewed pages of today (UTC), with the users who viewed them.
select
    page_url,
    sum(views)::bigint as views,
    count(user_id) as users,
    (sum(views) / sum(sum(views)) over ())::double precision as share
from (
    -- By page and user first: no sorting for distinct ones.
    select page_url, user_id, sum(views) as views
    from analytics.tenant_page_users_hourly
    where bucket >= %(start)s and bucket < %(stop)s
    group by page_url, user_id
) as v
group by page_url
order by views desc, page_url
limit %(limit)s
