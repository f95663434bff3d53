-- What tenants read instead of the hypertables, which cannot have row security. The views run as their owner, who
-- cannot log in; security_barrier keeps a caller's function from seeing rows before the predicate has dropped them.
create view analytics.tenant_events
with (security_barrier = true) as
select
    e.time,
    e.tenant_id,
    e.event_id,
    e.session_id,
    e.user_id,
    e.event_type,
    e.page_url,
    e.referrer,
    e.properties,
    e.device_type,
    e.country,
    e.origin,
    e.load_id
from analytics.events as e
where e.tenant_id = (select platform.current_tenant());

comment on view analytics.tenant_events is 'The tenant''s own rows of analytics.events';
comment on column analytics.tenant_events.time is 'When it happened';
comment on column analytics.tenant_events.tenant_id is 'The tenant';
comment on column analytics.tenant_events.event_id is 'The event';
comment on column analytics.tenant_events.session_id is 'Visit it belongs to';
comment on column analytics.tenant_events.user_id is 'Shopper within the tenant, NULL for a visitor who is not logged in';
comment on column analytics.tenant_events.event_type is 'page_view, product_view, add_to_cart, checkout_start, purchase, search or click';
comment on column analytics.tenant_events.page_url is 'Page it happened on';
comment on column analytics.tenant_events.referrer is 'Page that led there';
comment on column analytics.tenant_events.properties is 'What else is known; a purchase has order_id, revenue and currency';
comment on column analytics.tenant_events.device_type is 'mobile, desktop or tablet';
comment on column analytics.tenant_events.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.tenant_events.origin is 'synthetic, stream or import';
comment on column analytics.tenant_events.load_id is 'The load that wrote it';

create view analytics.tenant_events_hourly
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

comment on view analytics.tenant_events_hourly is 'The tenant''s own rows of analytics.events_hourly';
comment on column analytics.tenant_events_hourly.bucket is 'Start of the hour';
comment on column analytics.tenant_events_hourly.tenant_id is 'The tenant';
comment on column analytics.tenant_events_hourly.event_type is 'Event type';
comment on column analytics.tenant_events_hourly.device_type is 'mobile, desktop or tablet';
comment on column analytics.tenant_events_hourly.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.tenant_events_hourly.event_count is 'Events';
comment on column analytics.tenant_events_hourly.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.tenant_events_hourly.sessions is 'Distinct sessions, exact; not additive over hours';

grant select on analytics.tenant_events, analytics.tenant_events_hourly to app;
-- The defaults for tables let these be written through, which nobody needs.
revoke insert, update, delete on analytics.tenant_events, analytics.tenant_events_hourly from loader;
