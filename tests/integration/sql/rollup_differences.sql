-- Rows of each rollup that are not what counting the events gives, either way round; and how many rows it has.
with hourly as (
    select
        public.time_bucket('1 hour', e.time) as bucket,
        e.tenant_id,
        e.event_type,
        e.device_type,
        e.country,
        count(*) as event_count,
        count(distinct e.user_id) as unique_users,
        count(distinct e.session_id) as sessions
    from analytics.events as e
    group by 1, 2, 3, 4, 5
),

daily as (
    select
        public.time_bucket('1 day', e.time) as bucket,
        e.tenant_id,
        e.event_type,
        e.device_type,
        e.country,
        count(*) as event_count,
        count(distinct e.user_id) as unique_users,
        count(distinct e.session_id) as sessions
    from analytics.events as e
    group by 1, 2, 3, 4, 5
),

pages as (
    select
        public.time_bucket('1 day', e.time) as bucket,
        e.tenant_id,
        e.page_url,
        count(*) as views,
        count(distinct e.user_id) as unique_users
    from analytics.events as e
    where e.event_type = 'page_view'
    group by 1, 2, 3
),

users as (
    select public.time_bucket('1 day', e.time) as bucket, e.tenant_id, e.user_id, count(*) as event_count
    from analytics.events as e
    where e.user_id is not null
    group by 1, 2, 3
),

page_users as (
    select
        public.time_bucket('1 hour', e.time) as bucket,
        e.tenant_id,
        e.page_url,
        e.user_id,
        count(*) as views
    from analytics.events as e
    where e.event_type = 'page_view'
    group by 1, 2, 3, 4
),

differing (rollup) as (
    (select 'events_hourly' from (select * from hourly
    except all
    select * from analytics.events_hourly) as x)
    union all
    (select 'events_hourly' from (select * from analytics.events_hourly
    except all
    select * from hourly) as x)
    union all
    (select 'events_daily' from (select * from daily
    except all
    select * from analytics.events_daily) as x)
    union all
    (select 'events_daily' from (select * from analytics.events_daily
    except all
    select * from daily) as x)
    union all
    (select 'page_views_daily' from (select * from pages
    except all
    select * from analytics.page_views_daily) as x)
    union all
    (select 'page_views_daily' from (select * from analytics.page_views_daily
    except all
    select * from pages) as x)
    union all
    (select 'user_days' from (select * from users
    except all
    select * from analytics.user_days) as x)
    union all
    (select 'user_days' from (select * from analytics.user_days
    except all
    select * from users) as x)
    union all
    (select 'page_users_hourly' from (select * from page_users
    except all
    select * from analytics.page_users_hourly) as x)
    union all
    (select 'page_users_hourly' from (select * from analytics.page_users_hourly
    except all
    select * from page_users) as x)
)

select d.rollup, count(*) as rows
from differing as d
group by 1
order by 1
