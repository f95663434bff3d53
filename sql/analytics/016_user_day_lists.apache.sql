-- A day's users as lists. Who was active in 30 days is asked of as many rows as the users of each day; as a row each
-- they were six times as large, and each was compared with the notes of what changed. A list is compared once. What
-- readers see is as before.
reset role;

lock table analytics.events in share row exclusive mode;

set local role owner;

alter table analytics.user_days_kept rename to user_days_kept_singly;
alter index analytics.idx_user_days_kept rename to idx_user_days_kept_singly;

create table analytics.user_days_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    user_ids bigint[] not null,
    event_counts bigint[] not null check (cardinality(event_counts) = cardinality(user_ids))
);

-- One chunk for all times, made here: see 014.
select create_hypertable(
    'analytics.user_days_kept',
    'bucket',
    chunk_time_interval => interval '36500 days',
    associated_schema_name => 'analytics_chunks',
    create_default_indexes => false
);

create index idx_user_days_kept on analytics.user_days_kept (tenant_id, bucket);

comment on table analytics.user_days_kept is 'Active shoppers per day as of the last refresh; read analytics.user_days';
comment on column analytics.user_days_kept.bucket is 'Start of the day (UTC)';
comment on column analytics.user_days_kept.tenant_id is 'The tenant';
comment on column analytics.user_days_kept.user_ids is
'Up to a thousand shoppers within the tenant, in ascending order; those of a day are in as many rows as it takes';
comment on column analytics.user_days_kept.event_counts is 'Events of any type, of each of them';

revoke insert, update, delete on analytics.user_days_kept from loader;

insert into analytics.user_days_kept (bucket, tenant_id, user_ids, event_counts)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', '{}', '{}');
delete from analytics.user_days_kept;

insert into analytics.user_days_kept (bucket, tenant_id, user_ids, event_counts)
select
    u.bucket,
    u.tenant_id,
    array_agg(u.user_id order by u.user_id),
    array_agg(u.event_count order by u.user_id)
from (
    select
        k.*,
        (row_number() over (partition by k.bucket, k.tenant_id order by k.user_id) - 1) / 1000 as list
    from analytics.user_days_kept_singly as k
) as u
group by u.bucket, u.tenant_id, u.list;

create or replace view analytics.user_days as
select
    k.bucket,
    k.tenant_id,
    u.user_id,
    u.event_count
from analytics.user_days_kept as k
cross join lateral unnest(k.user_ids, k.event_counts) as u (user_id, event_count)
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
    group by public.time_bucket('1 day', e.time), e.user_id
) as l;

drop table analytics.user_days_kept_singly;

-- Counts the changed hours and days again that begin in [p_from, p_to) and clears their notes, in one transaction; NULL is
-- no bound. A tenant's alone, where one is named. Without an end the current day is left for readers to count: it would
-- be kept in vain, for it goes on changing.
--
-- Notes go first: a statement sees at least what the ones before it saw, so each counts all events whose notes are
-- gone. Of a writer who commits meanwhile the notes stay, and with them the bucket is counted by its readers. One refresh
-- at a time. Each day is planned for itself, for its own chunk; a generic plan would consider those of all days.
create or replace procedure analytics.refresh_rollups(
    p_from timestamptz default null, p_to timestamptz default null, p_tenant uuid default null
)
language plpgsql
set search_path = ''
as $$
declare
    v_from timestamptz := coalesce(p_from, '-infinity');
    v_to timestamptz := coalesce(p_to, 'infinity');
    v_days_to timestamptz := coalesce(p_to, public.time_bucket('1 day', pg_catalog.now()));
    v_day timestamptz;
    v_next timestamptz;
    v_tenants uuid[];
    v_hours timestamptz[];
    v_day_tenants uuid[];
begin
    if v_from >= v_to then
        raise exception 'nothing to refresh: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    perform pg_catalog.pg_advisory_xact_lock('analytics.events'::pg_catalog.regclass::integer, 1);
    -- Nobody empties the table between the notes and the counts.
    lock table only analytics.events in access share mode;
    perform pg_catalog.set_config('plan_cache_mode', 'force_custom_plan', true);

    for v_day in
        select public.time_bucket('1 day', h.bucket)
        from analytics.changed_hours as h
        where h.bucket >= v_from and h.bucket < v_to and (p_tenant is null or h.tenant_id = p_tenant)
        union
        select d.bucket
        from analytics.changed_days as d
        where d.bucket >= v_from and d.bucket < v_days_to and (p_tenant is null or d.tenant_id = p_tenant)
        order by 1
    loop
        v_next := v_day + interval '24 hours';

        with gone as (
            delete from analytics.changed_hours as h
            where h.bucket >= greatest(v_day, v_from)
                and h.bucket < least(v_next, v_to)
                and (p_tenant is null or h.tenant_id = p_tenant)
            returning h.tenant_id, h.bucket
        ),

        changed as (select distinct g.tenant_id, g.bucket from gone as g)

        select pg_catalog.array_agg(c.tenant_id), pg_catalog.array_agg(c.bucket)
        into v_tenants, v_hours
        from changed as c;

        with gone as (
            delete from analytics.changed_days as d
            where d.bucket = v_day
                and v_day >= v_from and v_day < v_days_to
                and (p_tenant is null or d.tenant_id = p_tenant)
            returning d.tenant_id
        )

        select pg_catalog.array_agg(distinct g.tenant_id) into v_day_tenants from gone as g;

        if v_tenants is not null then
            delete from analytics.events_hourly_kept as k
            using unnest(v_tenants, v_hours) as c (tenant_id, bucket)
            where k.tenant_id = c.tenant_id and k.bucket = c.bucket
                and k.bucket >= v_day and k.bucket < v_next;

            -- The equality is for a hash of many hours, the range for the index of few.
            insert into analytics.events_hourly_kept (
                bucket, tenant_id, event_type, device_type, country, event_count, unique_users, sessions
            )
            select
                c.bucket,
                e.tenant_id,
                e.event_type,
                e.device_type,
                e.country,
                pg_catalog.count(*),
                pg_catalog.count(distinct e.user_id),
                pg_catalog.count(distinct e.session_id)
            from unnest(v_tenants, v_hours) as c (tenant_id, bucket)
            inner join analytics.events as e
                on c.tenant_id = e.tenant_id
                and c.bucket = public.time_bucket('1 hour', e.time)
                and e.time >= c.bucket and e.time < c.bucket + interval '1 hour'
            where e.time >= v_day and e.time < v_next
            group by 1, 2, 3, 4, 5;
        end if;

        if v_day_tenants is not null then
            delete from analytics.events_daily_kept as k where k.bucket = v_day and k.tenant_id = any(v_day_tenants);
            delete from analytics.page_views_daily_kept as k where k.bucket = v_day and k.tenant_id = any(v_day_tenants);
            delete from analytics.user_days_kept as k where k.bucket = v_day and k.tenant_id = any(v_day_tenants);

            insert into analytics.events_daily_kept (
                bucket, tenant_id, event_type, device_type, country, event_count, unique_users, sessions
            )
            select
                v_day,
                e.tenant_id,
                e.event_type,
                e.device_type,
                e.country,
                pg_catalog.count(*),
                pg_catalog.count(distinct e.user_id),
                pg_catalog.count(distinct e.session_id)
            from analytics.events as e
            where e.time >= v_day and e.time < v_next and e.tenant_id = any(v_day_tenants)
            group by 2, 3, 4, 5;

            insert into analytics.page_views_daily_kept (bucket, tenant_id, page_url, views, unique_users)
            select v_day, e.tenant_id, e.page_url, pg_catalog.count(*), pg_catalog.count(distinct e.user_id)
            from analytics.events as e
            where e.time >= v_day and e.time < v_next and e.tenant_id = any(v_day_tenants) and e.event_type = 'page_view'
            group by 2, 3;

            -- A thousand to a list: a tenant's day is one row or a few, and none is too large to be read in one piece.
            insert into analytics.user_days_kept (bucket, tenant_id, user_ids, event_counts)
            select
                v_day,
                u.tenant_id,
                pg_catalog.array_agg(u.user_id order by u.user_id),
                pg_catalog.array_agg(u.event_count order by u.user_id)
            from (
                select
                    e.tenant_id,
                    e.user_id,
                    pg_catalog.count(*) as event_count,
                    (pg_catalog.row_number() over (partition by e.tenant_id order by e.user_id) - 1) / 1000 as list
                from analytics.events as e
                where e.time >= v_day and e.time < v_next and e.tenant_id = any(v_day_tenants) and e.user_id is not null
                group by e.tenant_id, e.user_id
            ) as u
            group by u.tenant_id, u.list;
        end if;
    end loop;

    -- Of days that are left one note each: a stream writes several a second, and every reader of the day looks at all.
    with gone as (
        delete from analytics.changed_days as d
        where d.bucket >= v_days_to and d.bucket < v_to and (p_tenant is null or d.tenant_id = p_tenant)
        returning d.tenant_id, d.bucket
    )

    insert into analytics.changed_days (tenant_id, bucket)
    select distinct g.tenant_id, g.bucket from gone as g;
end
$$;
