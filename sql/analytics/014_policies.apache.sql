-- What keeps the rollups and the year, on the Apache edition by schedules of Dagster: what each last did, how far behind it
-- is. And kept rows that stay in one chunk each.
reset role;

-- A query is planned before it takes its snapshot. Had a refresh made a chunk between the two, a bucket would be missing
-- from one answer: its note is gone in the snapshot, its chunk not in the plan. So the six have one chunk each, made here,
-- for all times that events have; none is ever dropped, and no writer waits for another that makes one. What was noted
-- and kept is noted again below.
lock table analytics.events in share row exclusive mode;

truncate analytics.changed_hours, analytics.changed_days, analytics.events_hourly_kept, analytics.events_daily_kept,
analytics.page_views_daily_kept, analytics.user_days_kept;

select set_chunk_time_interval(name, interval '36500 days')
from unnest(array[
    'analytics.changed_hours', 'analytics.changed_days', 'analytics.events_hourly_kept',
    'analytics.events_daily_kept', 'analytics.page_views_daily_kept', 'analytics.user_days_kept'
]::regclass[]) as t (name);

insert into analytics.events_hourly_kept (bucket, tenant_id, event_type, event_count, unique_users, sessions)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', '', 0, 0, 0);
insert into analytics.events_daily_kept (bucket, tenant_id, event_type, event_count, unique_users, sessions)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', '', 0, 0, 0);
insert into analytics.page_views_daily_kept (bucket, tenant_id, views, unique_users)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', 0, 0);
insert into analytics.user_days_kept (bucket, tenant_id, user_id, event_count)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', 0, 0);
insert into analytics.changed_hours (bucket, tenant_id)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000');
insert into analytics.changed_days (bucket, tenant_id)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000');
delete from analytics.events_hourly_kept;
delete from analytics.events_daily_kept;
delete from analytics.page_views_daily_kept;
delete from analytics.user_days_kept;
delete from analytics.changed_hours;
delete from analytics.changed_days;

insert into analytics.changed_hours (tenant_id, bucket)
select distinct e.tenant_id, public.time_bucket('1 hour', e.time)
from analytics.events as e;

insert into analytics.changed_days (tenant_id, bucket)
select distinct h.tenant_id, public.time_bucket('1 day', h.bucket)
from analytics.changed_hours as h;

set local role owner;

create table analytics.policy_runs (
    name text primary key,
    last_started timestamptz not null,
    last_finished timestamptz,
    last_status text not null check (last_status in ('running', 'success', 'failed'))
);

comment on table analytics.policy_runs is 'What each policy that a schedule runs last did; read analytics.policies';
comment on column analytics.policy_runs.name is 'The policy';
comment on column analytics.policy_runs.last_started is 'When it last began';
comment on column analytics.policy_runs.last_finished is 'When it last ended; NULL while its first run goes on';
comment on column analytics.policy_runs.last_status is 'running, success or failed';

revoke insert, update, delete on analytics.policy_runs from loader;

create view analytics.policies as
with refresh as (
    select
        (select min(h.noted_at) from analytics.changed_hours as h) as oldest_hour,
        (
            select min(d.noted_at)
            from analytics.changed_days as d
            where d.bucket < public.time_bucket('1 day', now())
        ) as oldest_day,
        (select count(*) from (select distinct h.tenant_id, h.bucket from analytics.changed_hours as h) as x) as hours,
        (select count(*) from (select distinct d.tenant_id, d.bucket from analytics.changed_days as d) as x) as days
),

retention as (
    select min(k.range_end) as oldest_end, count(*) as chunks
    from timescaledb_information.chunks as k
    where k.hypertable_schema = 'analytics' and k.hypertable_name = 'events'
)

select
    'refresh of rollups' as name,
    'refresh' as kind,
    p.last_started,
    p.last_finished,
    p.last_status,
    null::timestamptz as next_start,
    coalesce(now() - least(r.oldest_hour, r.oldest_day), interval '0') as behind,
    format('%s hours and %s days of tenants to count again', r.hours, r.days) as detail
from refresh as r
left join analytics.policy_runs as p on p.name = 'refresh of rollups'
union all
select
    'retention of events',
    'retention',
    p.last_started,
    p.last_finished,
    p.last_status,
    null,
    greatest(now() - interval '1 year' - r.oldest_end, interval '0'),
    format('%s days kept', r.chunks)
from retention as r
left join analytics.policy_runs as p on p.name = 'retention of events';

comment on view analytics.policies is
'What refreshes, compresses and drops the events and their rollups: what each last did and how far behind it is';
comment on column analytics.policies.name is 'The policy';
comment on column analytics.policies.kind is 'refresh, retention or compression';
comment on column analytics.policies.last_started is 'When it last began; NULL if never';
comment on column analytics.policies.last_finished is 'When it last ended';
comment on column analytics.policies.last_status is 'running, success or failed';
comment on column analytics.policies.next_start is 'When the server starts it next; NULL where a schedule of Dagster does';
comment on column analytics.policies.behind is 'Age of the oldest thing that it should have done';
comment on column analytics.policies.detail is 'What there is to do or was done, in words';

revoke insert, update, delete on analytics.policies from loader;
