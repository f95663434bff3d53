-- The rollups as tenants read them; see 005. On the Apache edition the view over the hours was dropped with what it was
-- over.
create or replace view analytics.tenant_events_hourly
with (security_barrier = true) as
select
    h.bucket,
    h.tenant_id,
    h.event_type,
    h.device_type,
    h.country,
    h.event_count,
    h.unique_users,
    h.sessions
from analytics.events_hourly as h
where h.tenant_id = (select platform.current_tenant());

create view analytics.tenant_events_daily
with (security_barrier = true) as
select
    d.bucket,
    d.tenant_id,
    d.event_type,
    d.device_type,
    d.country,
    d.event_count,
    d.unique_users,
    d.sessions
from analytics.events_daily as d
where d.tenant_id = (select platform.current_tenant());

create view analytics.tenant_page_views_daily
with (security_barrier = true) as
select
    p.bucket,
    p.tenant_id,
    p.page_url,
    p.views,
    p.unique_users
from analytics.page_views_daily as p
where p.tenant_id = (select platform.current_tenant());

create view analytics.tenant_user_days
with (security_barrier = true) as
select
    u.bucket,
    u.tenant_id,
    u.user_id,
    u.event_count
from analytics.user_days as u
where u.tenant_id = (select platform.current_tenant());

comment on view analytics.tenant_events_hourly is 'The tenant''s own rows of analytics.events_hourly';
comment on column analytics.tenant_events_hourly.bucket is 'Start of the hour';
comment on column analytics.tenant_events_hourly.tenant_id is 'The tenant';
comment on column analytics.tenant_events_hourly.event_type is 'Event type';
comment on column analytics.tenant_events_hourly.device_type is 'mobile, desktop or tablet';
comment on column analytics.tenant_events_hourly.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.tenant_events_hourly.event_count is 'Events';
comment on column analytics.tenant_events_hourly.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.tenant_events_hourly.sessions is 'Distinct sessions, exact; not additive over hours';
comment on view analytics.tenant_events_daily is 'The tenant''s own rows of analytics.events_daily';
comment on column analytics.tenant_events_daily.bucket is 'Start of the day (UTC)';
comment on column analytics.tenant_events_daily.tenant_id is 'The tenant';
comment on column analytics.tenant_events_daily.event_type is 'Event type';
comment on column analytics.tenant_events_daily.device_type is 'mobile, desktop or tablet';
comment on column analytics.tenant_events_daily.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.tenant_events_daily.event_count is 'Events';
comment on column analytics.tenant_events_daily.unique_users is 'Distinct shoppers, exact; not additive over days';
comment on column analytics.tenant_events_daily.sessions is 'Distinct sessions, exact; not additive over days';
comment on view analytics.tenant_page_views_daily is 'The tenant''s own rows of analytics.page_views_daily';
comment on column analytics.tenant_page_views_daily.bucket is 'Start of the day (UTC)';
comment on column analytics.tenant_page_views_daily.tenant_id is 'The tenant';
comment on column analytics.tenant_page_views_daily.page_url is 'The page; NULL where the event does not say';
comment on column analytics.tenant_page_views_daily.views is 'Events of type page_view';
comment on column analytics.tenant_page_views_daily.unique_users is 'Distinct shoppers, exact; not additive';
comment on view analytics.tenant_user_days is 'The tenant''s own rows of analytics.user_days';
comment on column analytics.tenant_user_days.bucket is 'Start of the day (UTC)';
comment on column analytics.tenant_user_days.tenant_id is 'The tenant';
comment on column analytics.tenant_user_days.user_id is 'Shopper within the tenant';
comment on column analytics.tenant_user_days.event_count is 'Events of any type';

revoke insert, update, delete on
analytics.tenant_events_hourly, analytics.tenant_events_daily, analytics.tenant_page_views_daily,
analytics.tenant_user_days
from loader;
grant select on
analytics.tenant_events_hourly, analytics.tenant_events_daily, analytics.tenant_page_views_daily,
analytics.tenant_user_days
to app;
