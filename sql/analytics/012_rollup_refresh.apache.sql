-- What keeps the rollups of 010: triggers that note what changed, and the refresh that counts exactly that again.

-- The trigger that counts live events (metering.count_events, which tenants' databases have too) looks at every new row
-- already: one look for both, in its stead. A bulk load's rows are grouped by tenant and hour first, of which there are few.
create function analytics.note_added_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    v_added record;
    v_events bigint;
    v_account metering.accounts;
    v_passes boolean;
begin
    for v_added in
        with changed as materialized (
            select
                f.tenant_id,
                public.time_bucket('1 hour', f.time) as bucket,
                pg_catalog.count(*) filter (where f.origin = 'stream') as events
            from added as f
            group by 1, 2
        ),

        hours as (
            insert into analytics.changed_hours (tenant_id, bucket)
            select c.tenant_id, c.bucket from changed as c
        ),

        days as (
            insert into analytics.changed_days (tenant_id, bucket)
            select distinct c.tenant_id, public.time_bucket('1 day', c.bucket) from changed as c
        )

        select
            c.tenant_id,
            pg_catalog.date_trunc('month', c.bucket at time zone 'UTC')::date as month,
            pg_catalog.sum(c.events)::bigint as events
        from changed as c
        where c.events > 0
        group by 1, 2
        order by 1, 2
    loop
        v_passes := coalesce(v_passes, metering.operator_passes());
        exit when v_passes;
        insert into metering.event_months as m (tenant_id, month, events)
        values (v_added.tenant_id, v_added.month, v_added.events)
        on conflict (tenant_id, month) do update set events = m.events + excluded.events
        returning m.events into v_events;
        select a.* into v_account from metering.accounts as a where a.tenant_id = v_added.tenant_id;
        if v_events > v_account.max_events_per_month then
            raise exception 'plan % allows % live events a month', quote_literal(v_account.plan),
                v_account.max_events_per_month
                using errcode = 'check_violation', constraint = 'plan_events',
                detail = format('Tenant %s, month %s.', v_added.tenant_id, v_added.month),
                hint = 'Leave the tenant''s events out, or change its plan.';
        end if;
    end loop;
    return null;
end
$$;

comment on function analytics.note_added_events() is
'Trigger: notes the hours and days of new events for the rollups; counts live ones by tenant and month in which they happened, and refuses more than the plan allows';

create function analytics.note_removed_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    with changed as materialized (
        select distinct r.tenant_id, public.time_bucket('1 hour', r.time) as bucket from removed as r
    ),

    hours as (
        insert into analytics.changed_hours (tenant_id, bucket)
        select c.tenant_id, c.bucket from changed as c
    )

    insert into analytics.changed_days (tenant_id, bucket)
    select distinct c.tenant_id, public.time_bucket('1 day', c.bucket) from changed as c;
    return null;
end
$$;

comment on function analytics.note_removed_events() is
'Trigger: notes the hours and days of events that are gone, for the rollups';

create function analytics.note_altered_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    with changed as materialized (
        select r.tenant_id, public.time_bucket('1 hour', r.time) as bucket from removed as r
        union
        select f.tenant_id, public.time_bucket('1 hour', f.time) from added as f
    ),

    hours as (
        insert into analytics.changed_hours (tenant_id, bucket)
        select c.tenant_id, c.bucket from changed as c
    )

    insert into analytics.changed_days (tenant_id, bucket)
    select distinct c.tenant_id, public.time_bucket('1 day', c.bucket) from changed as c;
    return null;
end
$$;

comment on function analytics.note_altered_events() is
'Trigger: notes the hours and days of events before and after an update, for the rollups';

-- All events are gone, and the lock that TRUNCATE holds keeps writers and refreshes out. Rows that the transaction's
-- snapshot does not show yet could not be deleted here.
create function analytics.forget_rollups() returns trigger
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
    delete from analytics.events_daily_kept;
    delete from analytics.page_views_daily_kept;
    delete from analytics.user_days_kept;
    return null;
end
$$;

comment on function analytics.forget_rollups() is 'Trigger: empties the rollups with the events';

-- Counts the changed hours and days again that begin in [p_from, p_to) and clears their notes, in one transaction; NULL is
-- no bound. A tenant's alone, where one is named. Without an end the current day is left for readers to count: it would
-- be kept in vain, for it goes on changing.
--
-- Notes go first: a statement sees at least what the ones before it saw, so each counts all events whose notes are
-- gone. Of a writer who commits meanwhile the notes stay, and with them the bucket is counted by its readers. One refresh
-- at a time. Each day is planned for itself, for its own chunk; a generic plan would consider those of all days.
create procedure analytics.refresh_rollups(
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

            insert into analytics.user_days_kept (bucket, tenant_id, user_id, event_count)
            select v_day, e.tenant_id, e.user_id, pg_catalog.count(*)
            from analytics.events as e
            where e.time >= v_day and e.time < v_next and e.tenant_id = any(v_day_tenants) and e.user_id is not null
            group by 2, 3;
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

comment on procedure analytics.refresh_rollups(timestamptz, timestamptz, uuid) is
'Counts the hours and days again that changed in [p_from, p_to), of one tenant or of all; call it as migrator, outside a transaction';

-- All of a period, changed or not: what a refresh is measured against, and the way out if kept rows were meddled with.
create procedure analytics.rebuild_rollups(p_from timestamptz, p_to timestamptz)
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

comment on procedure analytics.rebuild_rollups(timestamptz, timestamptz) is
'Counts all hours and days that [p_from, p_to) touches again; call it as migrator, outside a transaction';

create or replace procedure analytics.refresh_events_hourly(p_from timestamptz, p_to timestamptz)
language plpgsql
set search_path = ''
as $$
begin
    if p_from is null or p_to is null or p_from >= p_to then
        raise exception 'nothing to refresh: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    call analytics.refresh_rollups(
        public.time_bucket('1 hour', p_from),
        public.time_bucket('1 hour', p_to + interval '1 hour' - interval '1 microsecond')
    );
end
$$;

comment on procedure analytics.refresh_events_hourly(timestamptz, timestamptz) is
'Counts the hours and days again that changed and begin in the hours that [p_from, p_to) touches; call it as migrator';

-- Buckets go with the events they were counted from, so that a rollup goes on equalling the events: what the chunks held
-- is noted, the chunks are dropped, and the refresh finds nothing to count. Writers to these chunks wait.
create or replace procedure analytics.drop_events_before(p_before timestamptz)
language plpgsql
set search_path = ''
as $$
declare
    v_chunk regclass;
    v_to timestamptz;
begin
    -- A year is what is promised to be kept; a slip of the argument must not delete it.
    if p_before is null or p_before > pg_catalog.now() - interval '1 year' then
        raise exception 'events are kept for a year: % is too recent', p_before
            using errcode = 'invalid_parameter_value';
    end if;
    -- A chunk is a day: those that end by then.
    v_to := public.time_bucket('1 day', p_before);
    for v_chunk in select c from public.show_chunks('analytics.events', older_than => v_to) as c loop
        execute format('lock table %s in exclusive mode', v_chunk);
    end loop;

    with changed as materialized (
        select distinct e.tenant_id, public.time_bucket('1 hour', e.time) as bucket
        from analytics.events as e
        where e.time < v_to
    ),

    hours as (
        insert into analytics.changed_hours (tenant_id, bucket)
        select c.tenant_id, c.bucket from changed as c
    )

    insert into analytics.changed_days (tenant_id, bucket)
    select distinct c.tenant_id, public.time_bucket('1 day', c.bucket) from changed as c;

    perform public.drop_chunks('analytics.events', older_than => v_to);
    call analytics.refresh_rollups(p_to => v_to);
end
$$;

comment on procedure analytics.drop_events_before(timestamptz) is
'Drops the chunks of analytics.events that end before p_before, which is at least a year ago, and what the rollups keep of them; call it as migrator';

revoke all on procedure
analytics.refresh_rollups(timestamptz, timestamptz, uuid),
analytics.rebuild_rollups(timestamptz, timestamptz),
analytics.refresh_events_hourly(timestamptz, timestamptz),
analytics.drop_events_before(timestamptz)
from public;

drop trigger count_events on analytics.events;

create trigger note_added_events after insert on analytics.events
referencing new table as added
for each statement execute function analytics.note_added_events();

create trigger note_removed_events after delete on analytics.events
referencing old table as removed
for each statement execute function analytics.note_removed_events();

create trigger note_altered_events after update on analytics.events
referencing old table as removed new table as added
for each statement execute function analytics.note_altered_events();

create trigger forget_rollups after truncate on analytics.events
for each statement execute function analytics.forget_rollups();

-- Events that are there already; CREATE TRIGGER keeps writers out until the end of this file.
insert into analytics.changed_hours (tenant_id, bucket)
select distinct e.tenant_id, public.time_bucket('1 hour', e.time)
from analytics.events as e;

insert into analytics.changed_days (tenant_id, bucket)
select distinct h.tenant_id, public.time_bucket('1 day', h.bucket)
from analytics.changed_hours as h;
