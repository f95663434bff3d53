-- Which events a cell has taken: the transaction that inserts an event claims its id here, and whoever comes later with
-- the same id finds it taken, be it the same event a second time or another one under its name. A unique index on the
-- hypertable could not say so: it would have to contain time.
--
-- A plain table: its key has no time. Claims are kept for a horizon of days (orchestration/loading/event_claims.py) and
-- deleted by a nightly job. claimed_on has an index of block ranges, for claims lie in the order of their days.
create table analytics.event_ids (
    tenant_id uuid not null,
    event_id uuid not null,
    time timestamptz not null,
    claimed_on date not null default (now() at time zone 'UTC')::date,
    claimed_by text,
    primary key (tenant_id, event_id)
);

create index idx_event_ids_claimed_on on analytics.event_ids using brin (claimed_on) with (pages_per_range = 32);

-- Rows come by the million and leave a day at a time.
alter table analytics.event_ids set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

comment on table analytics.event_ids is 'Ids of the events taken within the horizon: the first event of an id wins';
comment on column analytics.event_ids.tenant_id is 'The tenant';
comment on column analytics.event_ids.event_id is 'The event';
comment on column analytics.event_ids.time is 'When the event that has the id happened; another time under the same id is a conflict';
comment on column analytics.event_ids.claimed_on is 'Day (UTC) on which the id was claimed';
comment on column analytics.event_ids.claimed_by is 'Position in the queue of the entry that claimed it, NULL for a load';

alter table analytics.event_ids enable row level security;
alter table analytics.event_ids force row level security;
create policy tenant_isolation on analytics.event_ids
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

-- As of the events themselves: no claim of a tenant that is closed.
create trigger fence_writes before insert or update on analytics.event_ids
for each statement execute function platform.refuse_fenced_writes();

create trigger fence_writes_snapshot before insert or update on analytics.event_ids
for each statement when (current_setting('transaction_isolation') <> 'read committed')
execute function platform.refuse_snapshots_before_fence();
