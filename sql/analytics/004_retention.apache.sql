-- The Apache edition has drop_chunks but no policies and no compression: a schedule calls this.
create procedure analytics.drop_events_before(p_before timestamptz)
language plpgsql
set search_path = ''
as $$
begin
    -- A year is what is promised to be kept; a slip of the argument must not delete it.
    if p_before is null or p_before > pg_catalog.now() - interval '1 year' then
        raise exception 'events are kept for a year: % is too recent', p_before
            using errcode = 'invalid_parameter_value';
    end if;
    perform public.drop_chunks('analytics.events', older_than => p_before);
end
$$;

comment on procedure analytics.drop_events_before(timestamptz) is
'Drops the chunks of analytics.events that end before p_before, which is at least a year ago; call it as migrator';

revoke all on procedure analytics.drop_events_before(timestamptz) from public;
