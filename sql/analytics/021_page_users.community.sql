-- Page views of each hour by page and user on the Community edition: one more continuous aggregate, as those of 010. It
-- belongs to migrator, see 003.
reset role;

create materialized view analytics.page_users_hourly
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    time_bucket('1 hour', time) as bucket,
    tenant_id,
    page_url,
    user_id,
    count(*) as views
from analytics.events
where event_type = 'page_view'
group by 1, 2, 3, 4
with no data;

grant select on analytics.page_users_hourly to owner, loader, transformer, auditor;

comment on view analytics.page_users_hourly is
'Page views (events of type page_view) per hour, page and user; tenants read analytics.tenant_page_users_hourly';
comment on column analytics.page_users_hourly.bucket is 'Start of the hour';
comment on column analytics.page_users_hourly.tenant_id is 'The tenant';
comment on column analytics.page_users_hourly.page_url is
'The page; NULL where the event does not say (personal: direct)';
comment on column analytics.page_users_hourly.user_id is
'Shopper within the tenant, NULL for visitors who are not logged in (personal: account)';
comment on column analytics.page_users_hourly.views is 'Events of type page_view';

-- As the others, see 012.
select add_continuous_aggregate_policy(
    'analytics.page_users_hourly',
    start_offset => null::interval,
    end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes'
);

set local role owner;

create or replace procedure analytics.refresh_rollups(
    p_from timestamptz default null, p_to timestamptz default null, p_tenant uuid default null
)
language plpgsql
as $$
declare
    v_hour_from timestamptz := public.time_bucket('1 hour', p_from);
    v_hour_to timestamptz := least(
        public.time_bucket('1 hour', p_to + interval '1 hour' - interval '1 microsecond'),
        public.time_bucket('1 hour', pg_catalog.now())
    );
    v_day_from timestamptz := public.time_bucket('1 day', p_from);
    v_day_to timestamptz := least(
        public.time_bucket('1 day', p_to + interval '24 hours' - interval '1 microsecond'),
        public.time_bucket('1 day', pg_catalog.now())
    );
begin
    if p_from >= p_to then
        raise exception 'nothing to refresh: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    if v_hour_from is null or v_hour_from < v_hour_to then
        call public.refresh_continuous_aggregate('analytics.events_hourly', v_hour_from, v_hour_to);
        call public.refresh_continuous_aggregate('analytics.page_users_hourly', v_hour_from, v_hour_to);
    end if;
    if v_day_from is null or v_day_from < v_day_to then
        call public.refresh_continuous_aggregate('analytics.events_daily', v_day_from, v_day_to);
        call public.refresh_continuous_aggregate('analytics.page_views_daily', v_day_from, v_day_to);
        call public.refresh_continuous_aggregate('analytics.user_days', v_day_from, v_day_to);
    end if;
end
$$;
