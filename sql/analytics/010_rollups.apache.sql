-- The rollups on the Apache edition, which has no continuous aggregates. What people read is a view: kept rows of the
-- buckets that are as they were kept, and the events themselves, counted now, of buckets that changed since. Every write
-- to the events notes, in its own transaction, which hours and days it changed, so a reader's snapshot sees rows and notes
-- together, and a rollup equals the events whenever it is asked: the newest, late ones, after deletions. A refresh
-- (012) only makes it cheap.
--
-- Notes are only ever inserted by writers and only deleted by the refresh, so neither waits for the other. They and the
-- kept rows are hypertables: row security on a table would hide them from the owner of the views.
--
-- As migrator, who may act for the owner and bypasses row security.
reset role;

-- What it held is counted again at the first refresh.
drop view analytics.tenant_events_hourly;
drop table analytics.events_hourly;

set local role owner;

-- Few rows that come and go: no query gains by parallel workers on them, and each would wait for their start.
create table analytics.changed_hours (
    tenant_id uuid not null,
    bucket timestamptz not null,
    noted_at timestamptz not null default now()
) with (parallel_workers = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table analytics.changed_days (
    tenant_id uuid not null,
    bucket timestamptz not null,
    noted_at timestamptz not null default now()
) with (parallel_workers = 0, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

create table analytics.events_hourly_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    event_type text not null,
    device_type text,
    country text,
    event_count bigint not null,
    unique_users bigint not null,
    sessions bigint not null
);

create table analytics.events_daily_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    event_type text not null,
    device_type text,
    country text,
    event_count bigint not null,
    unique_users bigint not null,
    sessions bigint not null
);

create table analytics.page_views_daily_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    page_url text,
    views bigint not null,
    unique_users bigint not null
);

create table analytics.user_days_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    user_id bigint not null,
    event_count bigint not null
);

-- Chunks of 90 days: of a year there are five, so a query without literal times is planned as fast as one with them.
select create_hypertable(
    name,
    'bucket',
    chunk_time_interval => interval '90 days',
    associated_schema_name => 'analytics_chunks',
    create_default_indexes => false
)
from unnest(array[
    'analytics.changed_hours', 'analytics.changed_days', 'analytics.events_hourly_kept',
    'analytics.events_daily_kept', 'analytics.page_views_daily_kept', 'analytics.user_days_kept'
]::regclass[]) as t (name);

-- No unique keys: page_url and event_type are as long as senders make them, and an entry that is too long for an index
-- would stop every refresh. The refresh replaces whole buckets, one refresh at a time.
create index idx_changed_hours on analytics.changed_hours (tenant_id, bucket);
create index idx_changed_days on analytics.changed_days (tenant_id, bucket);
create index idx_events_hourly_kept on analytics.events_hourly_kept (tenant_id, bucket);
create index idx_events_daily_kept on analytics.events_daily_kept (tenant_id, bucket);
create index idx_page_views_daily_kept on analytics.page_views_daily_kept (tenant_id, bucket);
create index idx_user_days_kept on analytics.user_days_kept (tenant_id, bucket);

comment on table analytics.changed_hours is
'Hours whose events changed since they were last kept; written by triggers of analytics.events, cleared by the refresh';
comment on column analytics.changed_hours.tenant_id is 'The tenant';
comment on column analytics.changed_hours.bucket is 'Start of the hour';
comment on column analytics.changed_hours.noted_at is 'When the transaction began that changed it';
comment on table analytics.changed_days is
'Days whose events changed since they were last kept; written by triggers of analytics.events, cleared by the refresh';
comment on column analytics.changed_days.tenant_id is 'The tenant';
comment on column analytics.changed_days.bucket is 'Start of the day (UTC)';
comment on column analytics.changed_days.noted_at is 'When the transaction began that changed it';
comment on table analytics.events_hourly_kept is 'Events per hour as of the last refresh; read analytics.events_hourly';
comment on column analytics.events_hourly_kept.bucket is 'Start of the hour';
comment on column analytics.events_hourly_kept.tenant_id is 'The tenant';
comment on column analytics.events_hourly_kept.event_type is 'Event type';
comment on column analytics.events_hourly_kept.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_hourly_kept.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_hourly_kept.event_count is 'Events';
comment on column analytics.events_hourly_kept.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.events_hourly_kept.sessions is 'Distinct sessions, exact; not additive over hours';
comment on table analytics.events_daily_kept is 'Events per day as of the last refresh; read analytics.events_daily';
comment on column analytics.events_daily_kept.bucket is 'Start of the day (UTC)';
comment on column analytics.events_daily_kept.tenant_id is 'The tenant';
comment on column analytics.events_daily_kept.event_type is 'Event type';
comment on column analytics.events_daily_kept.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_daily_kept.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_daily_kept.event_count is 'Events';
comment on column analytics.events_daily_kept.unique_users is 'Distinct shoppers, exact; not additive over days';
comment on column analytics.events_daily_kept.sessions is 'Distinct sessions, exact; not additive over days';
comment on table analytics.page_views_daily_kept is
'Page views per page and day as of the last refresh; read analytics.page_views_daily';
comment on column analytics.page_views_daily_kept.bucket is 'Start of the day (UTC)';
comment on column analytics.page_views_daily_kept.tenant_id is 'The tenant';
comment on column analytics.page_views_daily_kept.page_url is 'The page; NULL where the event does not say';
comment on column analytics.page_views_daily_kept.views is 'Events of type page_view';
comment on column analytics.page_views_daily_kept.unique_users is 'Distinct shoppers, exact; not additive';
comment on table analytics.user_days_kept is 'Active shoppers per day as of the last refresh; read analytics.user_days';
comment on column analytics.user_days_kept.bucket is 'Start of the day (UTC)';
comment on column analytics.user_days_kept.tenant_id is 'The tenant';
comment on column analytics.user_days_kept.user_id is 'Shopper within the tenant';
comment on column analytics.user_days_kept.event_count is 'Events of any type';

-- The rollups. LATERAL, so that the events of a changed bucket are always found by the index on tenant and time, in its one
-- chunk; a bucket that is computed from the time, so that a reader's condition on it leaves out chunks when the query is
-- planned. Days are 24 hours, as UTC has them, whatever the session's time zone.
create view analytics.events_hourly as
select
    k.bucket,
    k.tenant_id,
    k.event_type,
    k.device_type,
    k.country,
    k.event_count,
    k.unique_users,
    k.sessions
from analytics.events_hourly_kept as k
where not exists (
    select from analytics.changed_hours as c where c.tenant_id = k.tenant_id and c.bucket = k.bucket
)
union all
select
    l.bucket,
    c.tenant_id,
    l.event_type,
    l.device_type,
    l.country,
    l.event_count,
    l.unique_users,
    l.sessions
from (select distinct n.tenant_id, n.bucket from analytics.changed_hours as n) as c
cross join lateral (
    select
        public.time_bucket('1 hour', e.time) as bucket,
        e.event_type,
        e.device_type,
        e.country,
        count(*) as event_count,
        count(distinct e.user_id) as unique_users,
        count(distinct e.session_id) as sessions
    from analytics.events as e
    where e.tenant_id = c.tenant_id and e.time >= c.bucket and e.time < c.bucket + interval '1 hour'
    group by 1, 2, 3, 4
) as l;

create view analytics.events_daily as
select
    k.bucket,
    k.tenant_id,
    k.event_type,
    k.device_type,
    k.country,
    k.event_count,
    k.unique_users,
    k.sessions
from analytics.events_daily_kept as k
where not exists (
    select from analytics.changed_days as c where c.tenant_id = k.tenant_id and c.bucket = k.bucket
)
union all
select
    l.bucket,
    c.tenant_id,
    l.event_type,
    l.device_type,
    l.country,
    l.event_count,
    l.unique_users,
    l.sessions
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral (
    select
        public.time_bucket('1 day', e.time) as bucket,
        e.event_type,
        e.device_type,
        e.country,
        count(*) as event_count,
        count(distinct e.user_id) as unique_users,
        count(distinct e.session_id) as sessions
    from analytics.events as e
    where e.tenant_id = c.tenant_id and e.time >= c.bucket and e.time < c.bucket + interval '24 hours'
    group by 1, 2, 3, 4
) as l;

create view analytics.page_views_daily as
select
    k.bucket,
    k.tenant_id,
    k.page_url,
    k.views,
    k.unique_users
from analytics.page_views_daily_kept as k
where not exists (
    select from analytics.changed_days as c where c.tenant_id = k.tenant_id and c.bucket = k.bucket
)
union all
select
    l.bucket,
    c.tenant_id,
    l.page_url,
    l.views,
    l.unique_users
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral (
    select
        public.time_bucket('1 day', e.time) as bucket,
        e.page_url,
        count(*) as views,
        count(distinct e.user_id) as unique_users
    from analytics.events as e
    where e.tenant_id = c.tenant_id and e.time >= c.bucket and e.time < c.bucket + interval '24 hours'
        and e.event_type = 'page_view'
    group by 1, 2
) as l;

create view analytics.user_days as
select
    k.bucket,
    k.tenant_id,
    k.user_id,
    k.event_count
from analytics.user_days_kept as k
where not exists (
    select from analytics.changed_days as c where c.tenant_id = k.tenant_id and c.bucket = k.bucket
)
union all
select
    l.bucket,
    c.tenant_id,
    l.user_id,
    l.event_count
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral (
    select
        public.time_bucket('1 day', e.time) as bucket,
        e.user_id,
        count(*) as event_count
    from analytics.events as e
    where e.tenant_id = c.tenant_id and e.time >= c.bucket and e.time < c.bucket + interval '24 hours'
        and e.user_id is not null
    group by 1, 2
) as l;

revoke insert, update, delete on
analytics.events_hourly, analytics.events_daily, analytics.page_views_daily, analytics.user_days,
analytics.changed_hours, analytics.changed_days, analytics.events_hourly_kept, analytics.events_daily_kept,
analytics.page_views_daily_kept, analytics.user_days_kept
from loader;

comment on view analytics.events_hourly is 'Events per hour; tenants read analytics.tenant_events_hourly';
comment on column analytics.events_hourly.bucket is 'Start of the hour';
comment on column analytics.events_hourly.tenant_id is 'The tenant';
comment on column analytics.events_hourly.event_type is 'Event type';
comment on column analytics.events_hourly.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_hourly.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_hourly.event_count is 'Events';
comment on column analytics.events_hourly.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.events_hourly.sessions is 'Distinct sessions, exact; not additive over hours';
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
