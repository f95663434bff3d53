-- Rollups of days whose plan has no chunk of the events. Any day that a reader asks for may have changed, so a plan that
-- counts changed days itself has a place for each: of 30 days planning took longer than the answer, although of days
-- that are over hardly any has changed. What counts a changed day is a function now, planned for that day alone, and
-- only where a day changed. It is planned within the reader's snapshot, so that no chunk can be missing from it.
--
-- Functions that a view calls run as whoever asks. These are nobody's way to more: a tenant's request, which may not read
-- the events, counts its own rows, analytics.tenant_events; who may read the events reads them. By EXECUTE, for only so
-- tenant and day are constants to the planner: it leaves out the chunks of other days.
--
-- As migrator, who may act for the owner.
reset role;

set local role owner;

create function analytics.events_of_changed_day(p_tenant uuid, p_day timestamptz)
returns table (
    event_type text, device_type text, country text, event_count bigint, unique_users bigint, sessions bigint
)
language plpgsql stable parallel restricted rows 100
set search_path = ''
as $$
begin
    return query execute pg_catalog.format(
        $query$
        select
            e.event_type,
            e.device_type,
            e.country,
            pg_catalog.count(*),
            pg_catalog.count(distinct e.user_id),
            pg_catalog.count(distinct e.session_id)
        from %s as e
        where e.tenant_id = $1 and e.time >= $2 and e.time < $3
        group by 1, 2, 3
        $query$,
        case
            when pg_catalog.has_table_privilege('analytics.events', 'select') then 'analytics.events'
            else 'analytics.tenant_events'
        end
    )
    using p_tenant, p_day, p_day + interval '24 hours';
end
$$;

comment on function analytics.events_of_changed_day(uuid, timestamptz) is
'A tenant''s events of a day, counted now, as far as the caller may see them; for analytics.events_daily';

create function analytics.page_views_of_changed_day(p_tenant uuid, p_day timestamptz)
returns table (page_url text, views bigint, unique_users bigint)
language plpgsql stable parallel restricted rows 100
set search_path = ''
as $$
begin
    return query execute pg_catalog.format(
        $query$
        select e.page_url, pg_catalog.count(*), pg_catalog.count(distinct e.user_id)
        from %s as e
        where e.tenant_id = $1 and e.time >= $2 and e.time < $3
            and e.event_type = 'page_view'
        group by 1
        $query$,
        case
            when pg_catalog.has_table_privilege('analytics.events', 'select') then 'analytics.events'
            else 'analytics.tenant_events'
        end
    )
    using p_tenant, p_day, p_day + interval '24 hours';
end
$$;

comment on function analytics.page_views_of_changed_day(uuid, timestamptz) is
'A tenant''s page views of a day, counted now, as far as the caller may see them; for analytics.page_views_daily';

create function analytics.users_of_changed_day(p_tenant uuid, p_day timestamptz)
returns table (user_id bigint, event_count bigint)
language plpgsql stable parallel restricted rows 1000
set search_path = ''
as $$
begin
    return query execute pg_catalog.format(
        $query$
        select e.user_id, pg_catalog.count(*)
        from %s as e
        where e.tenant_id = $1 and e.time >= $2 and e.time < $3
            and e.user_id is not null
        group by 1
        $query$,
        case
            when pg_catalog.has_table_privilege('analytics.events', 'select') then 'analytics.events'
            else 'analytics.tenant_events'
        end
    )
    using p_tenant, p_day, p_day + interval '24 hours';
end
$$;

comment on function analytics.users_of_changed_day(uuid, timestamptz) is
'A tenant''s known shoppers of a day, counted now, as far as the caller may see them; for analytics.user_days';

-- Whoever reads a view executes what it calls.
grant execute on function
analytics.events_of_changed_day(uuid, timestamptz),
analytics.page_views_of_changed_day(uuid, timestamptz),
analytics.users_of_changed_day(uuid, timestamptz)
to app, migrator, loader, transformer, auditor;

create or replace view analytics.events_daily as
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
    c.bucket,
    c.tenant_id,
    l.event_type,
    l.device_type,
    l.country,
    l.event_count,
    l.unique_users,
    l.sessions
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral analytics.events_of_changed_day(c.tenant_id, c.bucket) as l;

create or replace view analytics.page_views_daily as
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
    c.bucket,
    c.tenant_id,
    l.page_url,
    l.views,
    l.unique_users
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral analytics.page_views_of_changed_day(c.tenant_id, c.bucket) as l;

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
    c.bucket,
    c.tenant_id,
    l.user_id,
    l.event_count
from (select distinct n.tenant_id, n.bucket from analytics.changed_days as n) as c
cross join lateral analytics.users_of_changed_day(c.tenant_id, c.bucket) as l;
