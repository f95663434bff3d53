set local role owner;

-- Until when a cell's copy of a global relation is complete: it holds every change that was committed at home until then.
-- Written by whoever brings the copy up to date, in the transaction in which it does or has made sure that it is:
-- orchestration/cells/freshness.py after loads, replication between cells as it applies. A row that anybody else changes
-- takes the record away (the triggers `withdraw_freshness`), for nobody knows then what the copy is.
create table platform.replica_freshness (
    relation text primary key,
    home text not null check (home in ('na', 'eu', 'apac')),
    complete_until timestamptz not null,
    recorded_at timestamptz not null default clock_timestamp()
);

comment on table platform.replica_freshness is
'Global relations of which this cell has a copy: until when it is complete. No row: not known, and no reason to trust it';
comment on column platform.replica_freshness.relation is 'schema.relation, declared global';
comment on column platform.replica_freshness.home is 'The cell that it is a copy of';
comment on column platform.replica_freshness.complete_until is 'Every change committed at home until then is here; by the clock of home';
comment on column platform.replica_freshness.recorded_at is 'When that was recorded; by the clock of this cell';

-- Read by requests outside any tenant's context: names of relations and times.
grant select on platform.replica_freshness to app, loader;
grant insert, update, delete on platform.replica_freshness to loader;

create function platform.withdraw_freshness() returns trigger
language plpgsql
set search_path = pg_catalog
as $$
begin
    delete from platform.replica_freshness as f where f.relation = tg_table_schema || '.' || tg_table_name;
    return null;
end
$$;

comment on function platform.withdraw_freshness() is
'Trigger: what somebody has changed here is no longer known to be what home has. Does not fire for what replication applies';
