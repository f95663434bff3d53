-- Days of which a tenant's figures were counted with events that are gone since: a person was erased, or has moved away.
-- Written in the transaction that deletes, so that no kill loses a day; a build that covers the day takes it away again.
-- Tenants and days, nobody's number: that somebody went is all that it says. It moves with the tenant, as its models do.
--
-- A build claims the days that it covers before it reads anything, and takes away what it had claimed once every model is
-- built. What is marked again meanwhile is nobody's claim any more and stays; so does the claim of a build that died.
create table analytics.stale_days (
    tenant_id uuid not null,
    day date not null,
    is_history boolean not null default false,
    since timestamptz not null default clock_timestamp(),
    marks bigint not null default 1 check (marks > 0),
    claimed_by text,
    primary key (tenant_id, day)
);

comment on table analytics.stale_days is 'Days whose figures in the models are to be built again, for events of them were erased';
comment on column analytics.stale_days.tenant_id is 'The tenant';
comment on column analytics.stale_days.day is 'The day (UTC); -infinity for figures without days, which every build of all models counts anew';
comment on column analytics.stale_days.is_history is 'Whether an event of the history went: no retention has dropped what is gone, however old the day is';
comment on column analytics.stale_days.since is 'When it was marked first';
comment on column analytics.stale_days.marks is 'How often it was marked since: a claim is of one state of it';
comment on column analytics.stale_days.claimed_by is 'The dbt invocation that is building the day, NULL if there is none';

alter table analytics.stale_days enable row level security;
alter table analytics.stale_days force row level security;
create policy tenant_isolation on analytics.stale_days
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

grant insert, update, delete on analytics.stale_days to transformer;
