-- The most viewed pages of complete days (UTC); user_days counts a user once for each day with a view of the page.
select
    page_url,
    sum(views)::bigint as views,
    sum(unique_users)::bigint as user_days,
    (sum(views) / sum(sum(views)) over ())::double precision as share
from analytics.tenant_page_views_daily
where bucket >= %(start)s and bucket < %(stop)s
group by page_url
order by views desc, page_url
limit %(limit)s
