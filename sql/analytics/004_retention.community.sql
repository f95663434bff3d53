-- Policies and compression of the Community edition; they belong to migrator, see 003.
reset role;

-- segmentby: every reader names a tenant and most an event type, and rows of one segment compress together.
alter table analytics.events set (
    timescaledb.compress,
    timescaledb.compress_segmentby = 'tenant_id, event_type',
    timescaledb.compress_orderby = 'time desc'
);

select add_compression_policy('analytics.events', interval '7 days');
select add_retention_policy('analytics.events', interval '1 year');

-- Same name as on the Apache edition; the policy calls nothing of ours, a person may.
create procedure analytics.drop_events_before(p_before timestamptz)
language plpgsql
set search_path = ''
as $$
begin
    if p_before is null or p_before > pg_catalog.now() - interval '1 year' then
        raise exception 'events are kept for a year: % is too recent', p_before
            using errcode = 'invalid_parameter_value';
    end if;
    perform public.drop_chunks('analytics.events', older_than => p_before);
end
$$;

alter procedure analytics.drop_events_before(timestamptz) owner to owner;

comment on procedure analytics.drop_events_before(timestamptz) is
'Drops the chunks of analytics.events that end before p_before, which is at least a year ago; call it as migrator';

revoke all on procedure analytics.drop_events_before(timestamptz) from public;
