-- The rollup on the Apache edition, which has no continuous aggregates: same name, columns and meaning, kept by a
-- procedure that a schedule calls. A hypertable, so that old buckets can be dropped like old events.
create table analytics.events_hourly (
    bucket timestamptz not null,
    tenant_id uuid not null,
    event_type text not null,
    device_type text,
    country text,
    event_count bigint not null,
    unique_users bigint not null,
    sessions bigint not null
);

select create_hypertable(
    'analytics.events_hourly',
    'bucket',
    chunk_time_interval => interval '30 days',
    associated_schema_name => 'analytics_chunks',
    create_default_indexes => false
);

create unique index idx_events_hourly_key
on analytics.events_hourly (tenant_id, bucket, event_type, device_type, country) nulls not distinct;

comment on table analytics.events_hourly is 'Events per hour; tenants read analytics.tenant_events_hourly';
comment on column analytics.events_hourly.bucket is 'Start of the hour';
comment on column analytics.events_hourly.tenant_id is 'The tenant';
comment on column analytics.events_hourly.event_type is 'Event type';
comment on column analytics.events_hourly.device_type is 'mobile, desktop or tablet';
comment on column analytics.events_hourly.country is 'ISO 3166 alpha-2, upper case';
comment on column analytics.events_hourly.event_count is 'Events';
comment on column analytics.events_hourly.unique_users is 'Distinct shoppers, exact; not additive over hours';
comment on column analytics.events_hourly.sessions is 'Distinct sessions, exact; not additive over hours';

-- Recomputes the hours that [p_from, p_to) touches, whole: distinct counts cannot be added to. An event that arrives
-- late is counted when its hour is refreshed again. What is not yet committed is not counted, so call it after the
-- load, in a transaction of its own. Two refreshes at once wait for each other.
create procedure analytics.refresh_events_hourly(p_from timestamptz, p_to timestamptz)
language plpgsql
set search_path = ''
as $$
declare
    v_from timestamptz := public.time_bucket('1 hour', p_from);
    v_to timestamptz := public.time_bucket('1 hour', p_to + interval '1 hour' - interval '1 microsecond');
begin
    if p_from is null or p_to is null or p_from >= p_to then
        raise exception 'nothing to refresh: % to % is no period', p_from, p_to
            using errcode = 'invalid_parameter_value';
    end if;
    perform pg_catalog.pg_advisory_xact_lock('analytics.events_hourly'::pg_catalog.regclass::integer, 0);

    delete from analytics.events_hourly as h where h.bucket >= v_from and h.bucket < v_to;

    insert into analytics.events_hourly (
        bucket, tenant_id, event_type, device_type, country, event_count, unique_users, sessions
    )
    select
        public.time_bucket('1 hour', e.time),
        e.tenant_id,
        e.event_type,
        e.device_type,
        e.country,
        pg_catalog.count(*),
        pg_catalog.count(distinct e.user_id),
        pg_catalog.count(distinct e.session_id)
    from analytics.events as e
    where e.time >= v_from and e.time < v_to
    group by 1, 2, 3, 4, 5;
end
$$;

comment on procedure analytics.refresh_events_hourly(timestamptz, timestamptz) is
'Recomputes the hours of analytics.events_hourly that [p_from, p_to) touches; call it as migrator, outside a transaction';

revoke all on procedure analytics.refresh_events_hourly(timestamptz, timestamptz) from public;
