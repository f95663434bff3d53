set local role owner;

-- STABLE, not IMMUTABLE: an immutable function is folded into cached plans and would freeze the first tenant seen.
-- The body is parsed here, once, so no search_path of a caller can change what it calls.
create function platform.current_tenant() returns uuid
language sql stable parallel safe
return case
    when pg_catalog.current_setting('app.current_tenant', true)
        ~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'
        then pg_catalog.current_setting('app.current_tenant', true)::uuid
end;

comment on function platform.current_tenant() is
'The tenant of this transaction; NULL when unset, empty (as after a transaction-local setting) or no UUID: '
'no context means no rows, never an error that tells and never all rows';

grant execute on function platform.current_tenant() to app, migrator, loader, transformer, auditor;

create function platform.set_updated_at() returns trigger
language plpgsql
set search_path = ''
as $$
begin
    new.updated_at := pg_catalog.now();
    return new;
end
$$;

comment on function platform.set_updated_at() is 'Trigger: the time of the last change, whatever the writer claims';
