-- Events older than what analytics.events keeps, as of old imports. A plain table, for nothing is ever dropped from
-- it by age, and thus under row security as any tenant's table.
create table analytics.events_history (
    time timestamptz not null,
    tenant_id uuid not null,
    event_id uuid not null,
    session_id uuid,
    user_id bigint,
    event_type text not null,
    page_url text,
    referrer text,
    properties jsonb not null default '{}',
    device_type text,
    country text,
    origin text not null check (origin in ('synthetic', 'stream', 'import')),
    load_id uuid not null
);

create index idx_events_history_tenant_time on analytics.events_history (tenant_id, time desc);

comment on table analytics.events_history is 'Behavioural events of old imports, same columns as analytics.events, without retention';
comment on column analytics.events_history.time is 'When it happened';
comment on column analytics.events_history.tenant_id is 'The tenant';
comment on column analytics.events_history.event_id is 'The event';
comment on column analytics.events_history.session_id is 'Visit it belongs to';
comment on column analytics.events_history.user_id is 'Shopper within the tenant, NULL for a visitor who is not logged in';
comment on column analytics.events_history.event_type is 'page_view, product_view, add_to_cart, checkout_start, purchase, search or click';
comment on column analytics.events_history.page_url is 'Page it happened on';
comment on column analytics.events_history.referrer is 'Page that led there';
comment on column analytics.events_history.properties is 'What else is known; a purchase has order_id, revenue and currency';
comment on column analytics.events_history.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_history.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_history.origin is 'synthetic, stream or import; a replacement deletes only its own origin and load';
comment on column analytics.events_history.load_id is 'The load that wrote it';

alter table analytics.events_history enable row level security;
alter table analytics.events_history force row level security;
create policy tenant_isolation on analytics.events_history
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

grant select on analytics.events_history to app;
