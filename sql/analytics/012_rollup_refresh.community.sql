-- What keeps the rollups on the Community edition: policies. TimescaleDB notes which times changed; a refresh counts those
-- again and no others. So that late events of any age are counted, and buckets go with the events that retention drops,
-- its period has no beginning; what is newer than its end is counted when it is read. The policies belong to migrator, see
-- 003.
reset role;

-- Days are dropped whole, their buckets at the refresh after. Ten minutes: so long a late event is not seen.
select remove_continuous_aggregate_policy('analytics.events_hourly');

select add_continuous_aggregate_policy(
    name,
    start_offset => null::interval,
    end_offset => interval '1 hour',
    schedule_interval => interval '10 minutes'
)
from unnest(array[
    'analytics.events_hourly', 'analytics.events_daily', 'analytics.page_views_daily', 'analytics.user_days'
]::regclass[]) as t (name);

-- Same names as on the Apache edition. Not in a transaction: each refresh commits on its own. Only times that changed are
-- counted again; NULL is no bound. Never the current hour or day: once kept, it would no longer be counted from its events,
-- and the newest would be missing.
create procedure analytics.refresh_rollups(
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
    end if;
    if v_day_from is null or v_day_from < v_day_to then
        call public.refresh_continuous_aggregate('analytics.events_daily', v_day_from, v_day_to);
        call public.refresh_continuous_aggregate('analytics.page_views_daily', v_day_from, v_day_to);
        call public.refresh_continuous_aggregate('analytics.user_days', v_day_from, v_day_to);
    end if;
end
$$;

alter procedure analytics.refresh_rollups(timestamptz, timestamptz, uuid) owner to owner;

comment on procedure analytics.refresh_rollups(timestamptz, timestamptz, uuid) is
'Counts the hours and days again that changed in [p_from, p_to), of all tenants; call it as migrator, outside a transaction';

revoke all on procedure analytics.refresh_rollups(timestamptz, timestamptz, uuid) from public;
