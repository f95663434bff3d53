-- The daily rollups on the Community edition: continuous aggregates, as analytics.events_hourly (003). What is newer than
-- what they keep is counted from the events when they are read. They belong to migrator, see 003.
reset role;

create materialized view analytics.events_daily
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    time_bucket('1 day', time) as bucket,
    tenant_id,
    event_type,
    device_type,
    country,
    count(*) as event_count,
    count(distinct user_id) as unique_users,
    count(distinct session_id) as sessions
from analytics.events
group by 1, 2, 3, 4, 5
with no data;

create materialized view analytics.page_views_daily
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    time_bucket('1 day', time) as bucket,
    tenant_id,
    page_url,
    count(*) as views,
    count(distinct user_id) as unique_users
from analytics.events
where event_type = 'page_view'
group by 1, 2, 3
with no data;

create materialized view analytics.user_days
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    time_bucket('1 day', time) as bucket,
    tenant_id,
    user_id,
    count(*) as event_count
from analytics.events
where user_id is not null
group by 1, 2, 3
with no data;

grant select on analytics.events_daily, analytics.page_views_daily, analytics.user_days
to owner, loader, transformer, auditor;

comment on view analytics.events_daily is 'Events per day; tenants read analytics.tenant_events_daily';
comment on column analytics.events_daily.bucket is 'Start of the day (UTC)';
comment on column analytics.events_daily.tenant_id is 'The tenant';
comment on column analytics.events_daily.event_type is 'Event type';
comment on column analytics.events_daily.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_daily.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_daily.event_count is 'Events';
comment on column analytics.events_daily.unique_users is 'Distinct shoppers, exact; not additive over days';
comment on column analytics.events_daily.sessions is 'Distinct sessions, exact; not additive over days';
comment on view analytics.page_views_daily is
'Page views (events of type page_view) per page and day; tenants read analytics.tenant_page_views_daily';
comment on column analytics.page_views_daily.bucket is 'Start of the day (UTC)';
comment on column analytics.page_views_daily.tenant_id is 'The tenant';
comment on column analytics.page_views_daily.page_url is 'The page; NULL where the event does not say';
comment on column analytics.page_views_daily.views is 'Events of type page_view';
comment on column analytics.page_views_daily.unique_users is 'Distinct shoppers, exact; not additive';
comment on view analytics.user_days is
'Shoppers who did anything on a day, with how much; tenants read analytics.tenant_user_days';
comment on column analytics.user_days.bucket is 'Start of the day (UTC)';
comment on column analytics.user_days.tenant_id is 'The tenant';
comment on column analytics.user_days.user_id is 'Shopper within the tenant; visitors who are not logged in are not here';
comment on column analytics.user_days.event_count is 'Events of any type';
