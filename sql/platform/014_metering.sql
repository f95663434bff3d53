-- What serving a tenant takes before there is a context: who it is, what its plan allows and how much of that is used.
--
-- A schema of its own that no tenant's role may enter, so its tables need no row security: quotas have to be counted
-- for a tenant that is suspended or being restored too, whom policies hide even from the owner.
do $$
begin
    if not exists (select from pg_catalog.pg_roles as r where r.rolname = 'gateway') then
        create role gateway login nosuperuser nobypassrls nocreatedb nocreaterole noreplication;
    end if;
    execute format('grant connect on database %I to gateway', current_database());
end
$$;

comment on role gateway is
'The front door of requests: finds a tenant by what a request says and records usage, through functions only';

create schema metering authorization owner;
comment on schema metering is 'Tenants'' limits, their counters and the use they make of the service';
grant usage on schema metering to loader, transformer, auditor;
grant usage on schema platform to gateway;

alter default privileges for role owner in schema metering grant select on tables to transformer, auditor;

set local role owner;

create table metering.accounts (
    tenant_id uuid primary key,
    subdomain text not null unique,
    plan text not null,
    model text not null,
    members bigint not null default 0 check (members >= 0),
    projects bigint not null default 0 check (projects >= 0),
    max_members bigint,
    max_projects bigint,
    max_events_per_month bigint,
    max_connections integer,
    statement_timeout_ms integer
);

create index idx_accounts_plan on metering.accounts (plan);

comment on table metering.accounts is
'One row per tenant: its limits beside its counters, so that whoever changes one has to lock the other';
comment on column metering.accounts.tenant_id is 'The tenant';
comment on column metering.accounts.subdomain is 'Host name label, as in saas.tenants';
comment on column metering.accounts.plan is 'Plan, as in saas.tenants';
comment on column metering.accounts.model is 'shared, schema or database, as in saas.tenants: only rows where the model says are counted';
comment on column metering.accounts.members is 'Members of staff now';
comment on column metering.accounts.projects is 'Projects now';
comment on column metering.accounts.max_members is 'Most members of staff, as the plan has it; NULL for no limit';
comment on column metering.accounts.max_projects is 'Most projects, as the plan has it; NULL for no limit';
comment on column metering.accounts.max_events_per_month is 'Most live events per calendar month (UTC), as the plan has it; NULL for no limit';
comment on column metering.accounts.max_connections is 'Most transactions at once, as the plan has it; NULL for no limit';
comment on column metering.accounts.statement_timeout_ms is 'Longest statement in milliseconds, as the plan has it; NULL for no limit';

create table metering.event_months (
    tenant_id uuid not null references metering.accounts (tenant_id) on delete cascade,
    month date not null check (extract(day from month) = 1),
    events bigint not null check (events >= 0),
    primary key (tenant_id, month)
);

comment on table metering.event_months is 'Live events (origin stream) that were admitted, per tenant and month in which they happened';
comment on column metering.event_months.tenant_id is 'The tenant';
comment on column metering.event_months.month is 'First day of the month (UTC)';
comment on column metering.event_months.events is 'Events; what operators load, import or restore is not counted';

create table metering.request_hours (
    tenant_id uuid not null references metering.accounts (tenant_id) on delete cascade,
    hour timestamptz not null,
    requests bigint not null,
    failures bigint not null,
    refusals bigint not null,
    queries bigint not null,
    busy_us bigint not null,
    max_us bigint not null,
    latencies bigint[] not null,
    primary key (tenant_id, hour)
);

comment on table metering.request_hours is 'Requests per tenant and hour, added up by the serving processes and written now and then';
comment on column metering.request_hours.tenant_id is 'The tenant';
comment on column metering.request_hours.hour is 'Start of the hour';
comment on column metering.request_hours.requests is 'Transactions that ran in the tenant''s name';
comment on column metering.request_hours.failures is 'Of these, those that ended with an error';
comment on column metering.request_hours.refusals is 'Requests that were turned away because the plan''s connections were all in use; not among requests';
comment on column metering.request_hours.queries is 'Statements that they sent';
comment on column metering.request_hours.busy_us is 'Their time together, microseconds';
comment on column metering.request_hours.max_us is 'The longest, microseconds';
comment on column metering.request_hours.latencies is
'How many took at most 1, 2, 4, 8, … milliseconds and more than the one before: entry i is for (2^(i-2), 2^(i-1)]';

-- A limit refuses requests of tenants and whoever else adds rows. Who moves or restores a tenant writes behind its fence
-- and says so; only a role that is not subject to row security can, so no request of a tenant.
create function metering.operator_passes() returns boolean
language sql stable
set search_path = pg_catalog
as $$
    select coalesce(current_setting('app.fence_pass', true), '') <> ''
        and exists (
            select from pg_roles as r where r.rolname = session_user and (r.rolsuper or r.rolbypassrls)
        )
$$;

comment on function metering.operator_passes() is
'Whether the session moves or restores a tenant: what it writes is no new use of the service';

-- Rows of a tenant that has a schema or database of its own also land, for dbt, in the shared tables: they count once.
create function metering.counts_here(p_model text, p_schema text) returns boolean
language sql stable
set search_path = pg_catalog
as $$
    select case p_model
        when 'shared' then p_schema = 'saas'
        when 'schema' then p_schema <> 'saas'
        else current_database() like 'tenant\_%'
    end
$$;

comment on function metering.counts_here(text, text) is
'Whether rows in this schema of this database are the tenant''s own and not a copy of them';

-- Statement triggers: a bulk statement is counted once. The counter's row is locked until the transaction ends, so of two
-- that want the last place the second sees the first's row; under REPEATABLE READ it fails with 40001 and is repeated.
-- SECURITY DEFINER, for nobody may write a counter; nobody may call them either, they only fire.
create function metering.count_added() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    v_added record;
    v_account metering.accounts;
begin
    for v_added in
        select f.tenant_id, pg_catalog.count(*) as rows from added as f group by f.tenant_id order by f.tenant_id
    loop
        update metering.accounts as a
        set members = a.members
            + case when tg_argv[0] = 'members' and metering.counts_here(a.model, tg_table_schema)
                then v_added.rows else 0 end,
            projects = a.projects
            + case when tg_argv[0] = 'projects' and metering.counts_here(a.model, tg_table_schema)
                then v_added.rows else 0 end
        where a.tenant_id = v_added.tenant_id
        returning a.* into v_account;
        if not found then
            raise exception 'the tenant of new % has no account', tg_argv[0] using errcode = 'foreign_key_violation';
        end if;
        if not metering.counts_here(v_account.model, tg_table_schema) or metering.operator_passes() then
            continue;
        end if;
        if tg_argv[0] = 'members' and v_account.members > v_account.max_members then
            raise exception 'plan % allows % members', quote_literal(v_account.plan), v_account.max_members
                using errcode = 'check_violation', constraint = 'plan_members',
                hint = 'Remove a member, or have the operator change the plan.';
        elsif tg_argv[0] = 'projects' and v_account.projects > v_account.max_projects then
            raise exception 'plan % allows % projects', quote_literal(v_account.plan), v_account.max_projects
                using errcode = 'check_violation', constraint = 'plan_projects',
                hint = 'Remove a project, or have the operator change the plan.';
        end if;
    end loop;
    return null;
end
$$;

comment on function metering.count_added() is
'Trigger: counts new members or projects (its argument says which) and refuses more than the plan allows';

create function metering.count_removed() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    v_removed record;
begin
    for v_removed in
        select g.tenant_id, pg_catalog.count(*) as rows from removed as g group by g.tenant_id order by g.tenant_id
    loop
        update metering.accounts as a
        set members = a.members - case when tg_argv[0] = 'members' then v_removed.rows else 0 end,
            projects = a.projects - case when tg_argv[0] = 'projects' then v_removed.rows else 0 end
        where a.tenant_id = v_removed.tenant_id and metering.counts_here(a.model, tg_table_schema);
    end loop;
    return null;
end
$$;

comment on function metering.count_removed() is 'Trigger: counts members or projects that are gone';

-- A COPY of a million synthetic events costs one look at each more: 14 % of the server's time for it (docs/tenancy.md).
create function metering.count_events() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    v_added record;
    v_events bigint;
    v_account metering.accounts;
    v_passes boolean;
begin
    for v_added in
        select
            f.tenant_id,
            pg_catalog.date_trunc('month', f.time at time zone 'UTC')::date as month,
            pg_catalog.count(*) as events
        from added as f
        where f.origin = 'stream'
        group by 1, 2
        order by 1, 2
    loop
        v_passes := coalesce(v_passes, metering.operator_passes());
        exit when v_passes;
        insert into metering.event_months as m (tenant_id, month, events)
        values (v_added.tenant_id, v_added.month, v_added.events)
        on conflict (tenant_id, month) do update set events = m.events + excluded.events
        returning m.events into v_events;
        select a.* into v_account from metering.accounts as a where a.tenant_id = v_added.tenant_id;
        if v_events > v_account.max_events_per_month then
            raise exception 'plan % allows % live events a month', quote_literal(v_account.plan),
                v_account.max_events_per_month
                using errcode = 'check_violation', constraint = 'plan_events',
                detail = format('Tenant %s, month %s.', v_added.tenant_id, v_added.month),
                hint = 'Leave the tenant''s events out, or change its plan.';
        end if;
    end loop;
    return null;
end
$$;

comment on function metering.count_events() is
'Trigger: counts live events by tenant and month in which they happened, and refuses more than the plan allows';

-- Limits are copied into the account: a plan that changes locks the counter that it limits.
create function metering.keep_account() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    insert into metering.accounts as a (
        tenant_id, subdomain, plan, model,
        max_members, max_projects, max_events_per_month, max_connections, statement_timeout_ms
    )
    select
        new.id, new.subdomain, new.plan, new.model,
        p.max_users, p.max_projects, p.max_events_per_month, p.max_connections, p.statement_timeout_ms
    from saas.plans as p
    where p.plan = new.plan
    on conflict (tenant_id) do update
    set subdomain = excluded.subdomain,
        plan = excluded.plan,
        model = excluded.model,
        max_members = excluded.max_members,
        max_projects = excluded.max_projects,
        max_events_per_month = excluded.max_events_per_month,
        max_connections = excluded.max_connections,
        statement_timeout_ms = excluded.statement_timeout_ms;
    return null;
end
$$;

comment on function metering.keep_account() is 'Trigger on saas.tenants: a tenant has an account, with its plan''s limits';

create function metering.keep_limits() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    update metering.accounts
    set max_members = new.max_users,
        max_projects = new.max_projects,
        max_events_per_month = new.max_events_per_month,
        max_connections = new.max_connections,
        statement_timeout_ms = new.statement_timeout_ms
    where plan = new.plan;
    return null;
end
$$;

comment on function metering.keep_limits() is 'Trigger on saas.plans: what a plan allows, its tenants are allowed';

-- What a tenant may know of its own account, and cannot change.
create view platform.tenant_usage
with (security_barrier = true) as
select
    a.tenant_id,
    a.plan,
    a.members,
    a.max_members,
    a.projects,
    a.max_projects,
    a.max_events_per_month,
    a.max_connections,
    a.statement_timeout_ms
from metering.accounts as a
where a.tenant_id = (select platform.current_tenant());

comment on view platform.tenant_usage is 'The tenant''s own limits and how much of them it uses';
comment on column platform.tenant_usage.tenant_id is 'The tenant';
comment on column platform.tenant_usage.plan is 'Plan';
comment on column platform.tenant_usage.members is 'Members of staff now';
comment on column platform.tenant_usage.max_members is 'Most members of staff; NULL for no limit';
comment on column platform.tenant_usage.projects is 'Projects now';
comment on column platform.tenant_usage.max_projects is 'Most projects; NULL for no limit';
comment on column platform.tenant_usage.max_events_per_month is 'Most live events per month; NULL for no limit';
comment on column platform.tenant_usage.max_connections is 'Most transactions at once; NULL for no limit';
comment on column platform.tenant_usage.statement_timeout_ms is 'Longest statement in milliseconds; NULL for no limit';

create view platform.tenant_event_months
with (security_barrier = true) as
select
    m.tenant_id,
    m.month,
    m.events
from metering.event_months as m
where m.tenant_id = (select platform.current_tenant());

comment on view platform.tenant_event_months is 'The tenant''s own live events per month, which its plan limits';
comment on column platform.tenant_event_months.tenant_id is 'The tenant';
comment on column platform.tenant_event_months.month is 'First day of the month (UTC)';
comment on column platform.tenant_event_months.events is 'Live events of that month';

grant select on platform.tenant_usage, platform.tenant_event_months to app;

-- The one look-up of a request. app may not make it: it could ask which tenants there are. By id or by subdomain, one
-- answer or none; no list.
create function platform.resolve_tenant(p_id uuid, p_subdomain text)
returns table (
    tenant_id uuid, subdomain text, plan text, model text, closed_because text,
    max_connections integer, statement_timeout_ms integer
)
language plpgsql security definer
set search_path = ''
as $$
declare
    v_account metering.accounts;
    v_claimed text := coalesce(pg_catalog.current_setting('app.current_tenant', true), '');
begin
    if p_id is not null then
        select a.* into v_account from metering.accounts as a where a.tenant_id = p_id;
    else
        select a.* into v_account from metering.accounts as a where a.subdomain = p_subdomain;
    end if;
    if not found then
        return;
    end if;
    -- A fence is shown to whom it is about, also to the owner.
    perform pg_catalog.set_config('app.current_tenant', v_account.tenant_id::text, true);
    return query
    select
        v_account.tenant_id,
        v_account.subdomain,
        v_account.plan,
        v_account.model,
        (select f.reason from saas.tenant_fences as f where f.tenant_id = v_account.tenant_id and f.reads),
        v_account.max_connections,
        v_account.statement_timeout_ms;
    perform pg_catalog.set_config('app.current_tenant', v_claimed, true);
end
$$;

comment on function platform.resolve_tenant(uuid, text) is
'The tenant of this id, or else of this subdomain, with what a request of it may use; no row when there is none';

-- Adds what a serving process has counted since it last wrote: one call for all its tenants, not one per query.
create function platform.record_requests(p_rows jsonb) returns void
language sql security definer
set search_path = pg_catalog
as $$
    insert into metering.request_hours as r (
        tenant_id, hour, requests, failures, refusals, queries, busy_us, max_us, latencies
    )
    select
        x.tenant_id, x.hour, x.requests, x.failures, x.refusals, x.queries, x.busy_us, x.max_us, x.latencies
    from jsonb_to_recordset(p_rows) as x (
        tenant_id uuid, hour timestamptz, requests bigint, failures bigint, refusals bigint, queries bigint,
        busy_us bigint, max_us bigint, latencies bigint[]
    )
    -- One that was erased meanwhile has no account, and its usage no place.
    inner join metering.accounts as a on x.tenant_id = a.tenant_id
    order by x.tenant_id, x.hour
    on conflict (tenant_id, hour) do update
    set requests = r.requests + excluded.requests,
        failures = r.failures + excluded.failures,
        refusals = r.refusals + excluded.refusals,
        queries = r.queries + excluded.queries,
        busy_us = r.busy_us + excluded.busy_us,
        max_us = greatest(r.max_us, excluded.max_us),
        latencies = array(
            select coalesce(u.old, 0) + coalesce(u.new, 0)
            from unnest(r.latencies, excluded.latencies) with ordinality as u (old, new, place)
            order by u.place
        )
$$;

comment on function platform.record_requests(jsonb) is
'Adds requests that a serving process counted: array of {tenant_id, hour, requests, failures, refusals, queries, busy_us, max_us, latencies}';

grant execute on function platform.resolve_tenant(uuid, text), platform.record_requests(jsonb) to gateway;

-- A plan's places for transactions at once are advisory locks, which app may not take: it could take those of another
-- tenant, or of a proof. A trigger takes them for it. No row is ever stored, so a request that only reads stays one that
-- writes nothing.
create table platform.tenant_places (
    tenant_id uuid not null primary key
);

comment on table platform.tenant_places is
'Always empty: an insert takes one of the places of the transaction''s tenant until the transaction ends';
comment on column platform.tenant_places.tenant_id is 'The tenant, which has to be the transaction''s';

alter table platform.tenant_places enable row level security;
alter table platform.tenant_places force row level security;
create policy tenant_isolation on platform.tenant_places
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

grant insert on platform.tenant_places to app;

create function metering.take_place() returns trigger
language plpgsql security definer
set search_path = ''
as $$
declare
    v_places integer;
begin
    if new.tenant_id is distinct from platform.current_tenant() then
        raise exception 'a place is for the tenant of the transaction' using errcode = 'insufficient_privilege';
    end if;
    select a.max_connections into v_places from metering.accounts as a where a.tenant_id = new.tenant_id;
    if v_places is null then
        perform pg_catalog.set_config('app.place', '0', true);
        return null;
    end if;
    perform pg_catalog.set_config('app.place', '', true);
    for v_place in 1 .. v_places loop
        -- Sessions begin at different places, so that they seldom try one that is taken.
        if pg_catalog.pg_try_advisory_xact_lock(
            pg_catalog.hashtextextended(
                'place ' || new.tenant_id::text, (v_place + pg_catalog.pg_backend_pid()) % v_places + 1
            )
        ) then
            perform pg_catalog.set_config('app.place', v_place::text, true);
            exit;
        end if;
    end loop;
    return null;
end
$$;

comment on function metering.take_place() is
'Trigger: takes a place of the tenant; app.place is empty when none is free, 0 when the plan has no limit';

create trigger take_place before insert on platform.tenant_places
for each row execute function metering.take_place();

-- Begins a tenant's part of a transaction: its context, its plan's longest statement, and one of its plan's places. All
-- three end with the transaction. SECURITY INVOKER: it can do no more than its caller, and a session may leave it out;
-- docs/tenancy.md says what then still holds.
create function platform.enter_tenant(p_tenant uuid)
returns table (carried boolean, bypasses boolean, state text, reason text)
language plpgsql
set search_path = ''
as $$
declare
    v_timeout integer;
    v_set integer;
    v_reads boolean;
begin
    carried := coalesce(pg_catalog.current_setting('app.current_tenant', true), '') <> '';
    bypasses := exists (
        select from pg_catalog.pg_roles as r where r.rolname = current_user and (r.rolsuper or r.rolbypassrls)
    );
    if carried or bypasses then
        return next;
        return;
    end if;
    perform pg_catalog.set_config('app.current_tenant', p_tenant::text, true);
    select u.statement_timeout_ms into v_timeout from platform.tenant_usage as u;
    if not found then
        select f.reads, f.reason into v_reads, reason from saas.tenant_fences as f where f.tenant_id = p_tenant;
        state := case when v_reads then 'closed' else 'unknown' end;
        return next;
        return;
    end if;
    if v_timeout is not null then
        -- A shorter one that the session asked for stays.
        v_set := extract(epoch from pg_catalog.current_setting('statement_timeout')::interval) * 1000;
        if v_set = 0 or v_set > v_timeout then
            perform pg_catalog.set_config('statement_timeout', v_timeout::text, true);
        end if;
    end if;
    state := 'open';
    -- A transaction that may not write cannot ask for a place either; the serving process counts those itself.
    if pg_catalog.current_setting('transaction_read_only') = 'off' then
        insert into platform.tenant_places (tenant_id) values (p_tenant);
        if pg_catalog.current_setting('app.place') = '' then
            state := 'busy';
        end if;
    end if;
    return next;
end
$$;

comment on function platform.enter_tenant(uuid) is
'Sets the tenant''s context, statement timeout and place until the transaction ends. state: open, busy (no place is free), '
'closed (see reason) or unknown; NULL when nothing was set because the session carried a tenant or bypasses row security';

grant execute on function platform.enter_tenant(uuid) to app;
