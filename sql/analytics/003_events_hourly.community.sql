-- The rollup on the Community edition: a continuous aggregate.
--
-- Policies run as background jobs in the name of the relation's owner, who must be able to log in: hypertable and
-- aggregate belong to migrator here.
reset role;

alter table analytics.events owner to migrator;
-- The tenants' views read it as owner.
grant select on analytics.events to owner;

create materialized view analytics.events_hourly
with (timescaledb.continuous, timescaledb.materialized_only = false) as
select
    time_bucket('1 hour', time) as bucket,
    tenant_id,
    event_type,
    device_type,
    country,
    count(*) as event_count,
    count(distinct user_id) as unique_users,
    count(distinct session_id) as sessions
from analytics.events
group by 1, 2, 3, 4, 5
with no data;

grant select on analytics.events_hourly to owner, loader, transformer, auditor;

comment on view analytics.events_hourly is 'Events per hour; tenants read analytics.tenant_events_hourly';
comment on column analytics.events_hourly.bucket is 'Start of the hour';
comment on column analytics.events_hourly.tenant_id is 'The tenant';
comment on column analytics.events_hourly.event_type is 'Event type';
comment on column analytics.events_hourly.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_hourly.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_hourly.event_count is 'Events';
comment on column analytics.events_hourly.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.events_hourly.sessions is 'Distinct sessions, exact; not additive over hours';

-- The last three hours are recomputed every hour; older hours that late events or reloads touched are noted by
-- TimescaleDB and recomputed by analytics.refresh_events_hourly.
select add_continuous_aggregate_policy(
    'analytics.events_hourly',
    start_offset => interval '3 hours',
    end_offset => interval '1 hour',
    schedule_interval => interval '1 hour'
);

-- Same name as on the Apache edition. Not in a transaction: the refresh commits on its own.
create procedure analytics.refresh_events_hourly(p_from timestamptz, p_to timestamptz)
language plpgsql
as $$
declare
    v_from timestamptz := public.time_bucket('1 hour', p_from);
    v_to timestamptz := public.time_bucket('1 hour', p_to + interval '1 hour' - interval '1 microsecond');
begin
    if p_from is null or p_to is null or p_from >= p_to then
        raise exception 'nothing to refresh: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    call public.refresh_continuous_aggregate('analytics.events_hourly', v_from, v_to);
end
$$;

alter procedure analytics.refresh_events_hourly(timestamptz, timestamptz) owner to owner;

comment on procedure analytics.refresh_events_hourly(timestamptz, timestamptz) is
'Recomputes the hours of analytics.events_hourly that [p_from, p_to) touches; call it as migrator, outside a transaction';

revoke all on procedure analytics.refresh_events_hourly(timestamptz, timestamptz) from public;
