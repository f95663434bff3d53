-- Page views of each hour by page and user, so that the pages of the running day are asked of its hours: counting them
-- from the events fetched every event of the day, which lie between everybody else's. Users are told apart over a whole
-- day, and numbers of users of hours do not add up: it is the users themselves that are kept, in lists (016).
reset role;

lock table analytics.events in share row exclusive mode;

set local role owner;

create table analytics.page_users_hourly_kept (
    bucket timestamptz not null,
    tenant_id uuid not null,
    page_url text,
    user_ids bigint[] not null,
    view_counts bigint[] not null check (cardinality(view_counts) = cardinality(user_ids))
);

-- One chunk for all times, made here: see 014.
select create_hypertable(
    'analytics.page_users_hourly_kept',
    'bucket',
    chunk_time_interval => interval '36500 days',
    associated_schema_name => 'analytics_chunks',
    create_default_indexes => false
);

create index idx_page_users_hourly_kept on analytics.page_users_hourly_kept (tenant_id, bucket);

insert into analytics.page_users_hourly_kept (bucket, tenant_id, user_ids, view_counts)
values ('2026-01-01Z', '00000000-0000-0000-0000-000000000000', '{}', '{}');
delete from analytics.page_users_hourly_kept;

comment on table analytics.page_users_hourly_kept is
'Page views per page, user and hour as of the last refresh; read analytics.page_users_hourly';
comment on column analytics.page_users_hourly_kept.bucket is 'Start of the hour';
comment on column analytics.page_users_hourly_kept.tenant_id is 'The tenant';
comment on column analytics.page_users_hourly_kept.page_url is
'The page; NULL where the event does not say (personal: direct)';
comment on column analytics.page_users_hourly_kept.user_ids is
'Shoppers within the tenant, each once, NULL for all visitors who are not logged in (personal: account)';
comment on column analytics.page_users_hourly_kept.view_counts is 'Events of type page_view, of each of them';

revoke insert, update, delete on analytics.page_users_hourly_kept from loader;

-- Of hours that changed since they were last kept, these rows are passed over until the refresh replaces them.
insert into analytics.page_users_hourly_kept (bucket, tenant_id, page_url, user_ids, view_counts)
select
    p.bucket,
    p.tenant_id,
    p.page_url,
    array_agg(p.user_id),
    array_agg(p.views)
from (
    select
        public.time_bucket('1 hour', e.time) as bucket,
        e.tenant_id,
        e.page_url,
        e.user_id,
        count(*) as views
    from analytics.events as e
    where e.event_type = 'page_view'
    group by 1, 2, 3, 4
) as p
group by 1, 2, 3;

create view analytics.page_users_hourly as
select
    k.bucket,
    k.tenant_id,
    k.page_url,
    u.user_id,
    u.views
from analytics.page_users_hourly_kept as k
cross join lateral unnest(k.user_ids, k.view_counts) as u (user_id, views)
where not exists (
    select from analytics.changed_hours as c where c.tenant_id = k.tenant_id and c.bucket = k.bucket
)
union all
select
    l.bucket,
    c.tenant_id,
    l.page_url,
    l.user_id,
    l.views
from (select distinct n.tenant_id, n.bucket from analytics.changed_hours as n) as c
cross join lateral (
    select
        public.time_bucket('1 hour', e.time) as bucket,
        e.page_url,
        e.user_id,
        count(*) as views
    from analytics.events as e
    where e.tenant_id = c.tenant_id and e.time >= c.bucket and e.time < c.bucket + interval '1 hour'
        and e.event_type = 'page_view'
    group by 1, 2, 3
) as l;

comment on view analytics.page_users_hourly is
'Page views (events of type page_view) per hour, page and user; tenants read analytics.tenant_page_users_hourly';
comment on column analytics.page_users_hourly.bucket is 'Start of the hour';
comment on column analytics.page_users_hourly.tenant_id is 'The tenant';
comment on column analytics.page_users_hourly.page_url is
'The page; NULL where the event does not say (personal: direct)';
comment on column analytics.page_users_hourly.user_id is
'Shopper within the tenant, NULL for visitors who are not logged in (personal: account)';
comment on column analytics.page_users_hourly.views is 'Events of type page_view';

revoke insert, update, delete on analytics.page_users_hourly from loader;

create or replace function analytics.forget_rollups() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    if pg_catalog.current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'analytics.events is truncated in a transaction of isolation level read committed only'
            using errcode = 'object_not_in_prerequisite_state',
            hint = 'An older snapshot does not show all that the rollups keep of it.';
    end if;
    delete from analytics.changed_hours;
    delete from analytics.changed_days;
    delete from analytics.events_hourly_kept;
    delete from analytics.page_users_hourly_kept;
    delete from analytics.events_daily_kept;
    delete from analytics.page_views_daily_kept;
    delete from analytics.user_days_kept;
    return null;
end
$$;

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
    -- One refresh at a time has it: sorting a day's events in files takes longer than counting them.
    perform pg_catalog.set_config('work_mem', '64MB', true);

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

            delete from analytics.page_users_hourly_kept as k
            using unnest(v_tenants, v_hours) as c (tenant_id, bucket)
            where k.tenant_id = c.tenant_id and k.bucket = c.bucket
                and k.bucket >= v_day and k.bucket < v_next;

            -- Fetched once for both. The equality is for a hash of many hours, the range for the index of few.
            with changed as materialized (
                select
                    c.bucket,
                    e.tenant_id,
                    e.event_type,
                    e.device_type,
                    e.country,
                    e.user_id,
                    e.session_id,
                    case when e.event_type = 'page_view' then e.page_url end as page_url
                from unnest(v_tenants, v_hours) as c (tenant_id, bucket)
                inner join analytics.events as e
                    on c.tenant_id = e.tenant_id
                    and c.bucket = public.time_bucket('1 hour', e.time)
                    and e.time >= c.bucket and e.time < c.bucket + interval '1 hour'
                where e.time >= v_day and e.time < v_next
            ),

            hours as (
                insert into analytics.events_hourly_kept (
                    bucket, tenant_id, event_type, device_type, country, event_count, unique_users, sessions
                )
                select
                    c.bucket,
                    c.tenant_id,
                    c.event_type,
                    c.device_type,
                    c.country,
                    pg_catalog.count(*),
                    pg_catalog.count(distinct c.user_id),
                    pg_catalog.count(distinct c.session_id)
                from changed as c
                group by 1, 2, 3, 4, 5
            )

            insert into analytics.page_users_hourly_kept (bucket, tenant_id, page_url, user_ids, view_counts)
            select p.bucket, p.tenant_id, p.page_url, pg_catalog.array_agg(p.user_id), pg_catalog.array_agg(p.views)
            from (
                select c.bucket, c.tenant_id, c.page_url, c.user_id, pg_catalog.count(*) as views
                from changed as c
                where c.event_type = 'page_view'
                group by 1, 2, 3, 4
            ) as p
            group by 1, 2, 3;
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

create or replace procedure analytics.rebuild_rollups(p_from timestamptz, p_to timestamptz)
language plpgsql
set search_path = ''
as $$
begin
    if p_from is null or p_to is null or p_from >= p_to then
        raise exception 'nothing to rebuild: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    with changed as materialized (
        select distinct e.tenant_id, public.time_bucket('1 hour', e.time) as bucket
        from analytics.events as e
        where e.time >= public.time_bucket('1 day', p_from)
            and e.time < public.time_bucket('1 day', p_to + interval '24 hours' - interval '1 microsecond')
        union
        select k.tenant_id, k.bucket
        from analytics.events_hourly_kept as k
        where k.bucket >= public.time_bucket('1 day', p_from)
            and k.bucket < public.time_bucket('1 day', p_to + interval '24 hours' - interval '1 microsecond')
        union
        select k.tenant_id, k.bucket
        from analytics.page_users_hourly_kept as k
        where k.bucket >= public.time_bucket('1 day', p_from)
            and k.bucket < public.time_bucket('1 day', p_to + interval '24 hours' - interval '1 microsecond')
    ),

    hours as (
        insert into analytics.changed_hours (tenant_id, bucket)
        select c.tenant_id, c.bucket from changed as c
    ),

    kept_days as (
        select k.tenant_id, k.bucket from analytics.events_daily_kept as k
        union
        select k.tenant_id, k.bucket from analytics.page_views_daily_kept as k
        union
        select k.tenant_id, k.bucket from analytics.user_days_kept as k
    )

    insert into analytics.changed_days (tenant_id, bucket)
    select c.tenant_id, public.time_bucket('1 day', c.bucket) from changed as c
    union
    select d.tenant_id, d.bucket
    from kept_days as d
    where d.bucket >= public.time_bucket('1 day', p_from) and d.bucket < p_to;

    call analytics.refresh_rollups(
        public.time_bucket('1 day', p_from),
        public.time_bucket('1 day', p_to + interval '24 hours' - interval '1 microsecond')
    );
end
$$;
