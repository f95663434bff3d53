-- Where a tenant's operational rows live, whether it may be read and written now, and how far the schema of its own is
-- migrated. Everything that closes a tenant is one row of saas.tenant_fences.
alter table saas.tenants add column model text not null default 'shared'
check (model in ('shared', 'schema', 'database'));
alter table saas.tenants drop constraint tenants_status_check;
alter table saas.tenants add constraint tenants_status_check
check (status in ('provisioning', 'active', 'suspended', 'moving', 'erasing'));

create index idx_tenants_model on saas.tenants (model) where model <> 'shared';

comment on column saas.tenants.model is
'Where its operational rows live: shared tables, two schemas of its own, or a database of its own';
comment on column saas.tenants.status is 'provisioning, active, suspended, moving or erasing';

alter table saas.plans add column default_model text not null default 'shared'
check (default_model in ('shared', 'schema', 'database'));

comment on column saas.plans.default_model is 'Model of a tenant that is created on this plan without saying which';

create table saas.tenant_fences (
    tenant_id uuid primary key references saas.tenants (id) on delete cascade,
    reads boolean not null default false,
    writes boolean not null default false,
    reason text not null check (char_length(reason) between 1 and 200),
    since timestamptz not null default now(),
    check (reads or writes)
);

comment on table saas.tenant_fences is 'Tenants that are closed now; a tenant without a row is open';
comment on column saas.tenant_fences.tenant_id is 'The tenant';
comment on column saas.tenant_fences.reads is 'Its requests see no row and write none: it is suspended or being erased';
comment on column saas.tenant_fences.writes is 'Nobody writes its rows, bulk loads included: it is being moved, restored or erased';
comment on column saas.tenant_fences.reason is 'Why, as its requests are told; nothing personal';
comment on column saas.tenant_fences.since is 'When it was closed';

-- What the session claims, whether or not it is let in; the body is parsed here, once.
create function platform.claimed_tenant() returns uuid
language sql stable parallel safe
return case
    when pg_catalog.current_setting('app.current_tenant', true)
        ~ '^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$'
        then pg_catalog.current_setting('app.current_tenant', true)::uuid
end;

comment on function platform.claimed_tenant() is
'The tenant that this transaction says it is; NULL when unset, empty or no UUID. What may be seen asks current_tenant()';

grant execute on function platform.claimed_tenant() to app, migrator, loader, transformer, auditor;

-- The one policy that asks for the claimed tenant: current_tenant() reads this table.
alter table saas.tenant_fences enable row level security;
alter table saas.tenant_fences force row level security;
create policy tenant_isolation on saas.tenant_fences
using (tenant_id = (select platform.claimed_tenant()))
with check (tenant_id = (select platform.claimed_tenant()));

grant select on saas.tenant_fences to app;

-- Every policy, every tenants' view and process_checkout() ask this, so one fence closes them all.
-- plpgsql, because it keeps the plan of the look at the fences; SECURITY INVOKER, so that it sees no more than its
-- caller. Policies call it once per statement, as (select platform.current_tenant()).
create or replace function platform.current_tenant() returns uuid
language plpgsql stable parallel safe
set search_path = ''
as $$
declare
    v_tenant uuid := platform.claimed_tenant();
begin
    if v_tenant is null
        or exists (select from saas.tenant_fences as f where f.tenant_id = v_tenant and f.reads) then
        return null;
    end if;
    return v_tenant;
end
$$;

comment on function platform.current_tenant() is
'The tenant of this transaction; NULL when unset, empty (as after a transaction-local setting), no UUID or closed by '
'a fence: no context means no rows, never an error that tells and never all rows';

-- Before each statement that writes rows of tenants. The lock is taken first and the fence looked at afterwards, in a
-- snapshot of its own: who fences writes the row, commits, and then takes the lock alone for a moment, so that no writer
-- who has not seen the fence is left. A bulk writer names no tenant and yields to every fence on writes.
create function platform.fence_key(p_tenant uuid) returns bigint
language sql immutable parallel safe
return pg_catalog.hashtextextended('tenant fence ' || coalesce(p_tenant::text, 'bulk'), 0);

comment on function platform.fence_key(uuid) is
'Advisory lock that writers of a tenant share and who fences it takes alone; of NULL: that of writers without a tenant';

grant execute on function platform.fence_key(uuid) to app, migrator, loader, transformer, auditor;

create function platform.refuse_fenced_writes() returns trigger
language plpgsql
set search_path = ''
as $$
declare
    v_tenant uuid := platform.claimed_tenant();
    v_fence saas.tenant_fences;
begin
    -- Who moves, restores or erases a tenant writes its rows behind the fence. Tenants' requests cannot say that they do.
    if coalesce(pg_catalog.current_setting('app.fence_pass', true), '') <> ''
        and (
            select r.rolsuper or r.rolbypassrls from pg_catalog.pg_roles as r where r.rolname = session_user
        ) then
        return null;
    end if;
    perform pg_catalog.pg_advisory_xact_lock_shared(platform.fence_key(v_tenant));
    select f.* into v_fence
    from saas.tenant_fences as f
    where (f.tenant_id = v_tenant) or (v_tenant is null and f.writes)
    limit 1;
    if v_fence.writes then
        raise exception 'tenant % is closed to writes: %', v_fence.tenant_id, v_fence.reason
            using errcode = 'TNT01', hint = 'Try again when it is open; `capstone tenant show` says what it waits for.';
    elsif v_fence.reads then
        raise exception 'tenant % is closed: %', v_fence.tenant_id, v_fence.reason
            using errcode = 'TNT02', hint = 'The operator opens it again with `capstone tenant resume`.';
    end if;
    return null;
end
$$;

comment on function platform.refuse_fenced_writes() is
'Trigger: refuses to write rows of a tenant that is closed, SQLSTATE TNT01 to writes (it is being moved, restored or '
'erased), TNT02 to everything (it is suspended)';

-- A sequence does not follow transactions: it names the newest transaction that set a fence even to a writer whose
-- snapshot is older, under REPEATABLE READ and SERIALIZABLE.
create sequence saas.newest_fence as bigint minvalue 0 start 0;

comment on sequence saas.newest_fence is 'Transaction that set a fence last';

-- SECURITY DEFINER for that sequence, which nobody but the owner reads; a trigger needs no one to be able to call it.
create function platform.refuse_snapshots_before_fence() returns trigger
language plpgsql security definer
set search_path = ''
as $$
begin
    if not pg_catalog.pg_visible_in_snapshot(
        (select s.last_value from saas.newest_fence as s)::text::xid8, pg_catalog.pg_current_snapshot()
    ) then
        raise exception 'a tenant was closed since this transaction began'
            using errcode = 'serialization_failure', hint = 'Repeat the transaction.';
    end if;
    return null;
end
$$;

comment on function platform.refuse_snapshots_before_fence() is
'Trigger: a transaction that keeps its snapshot cannot see a fence that was set since; it has to be repeated';

-- Called by who sets a fence, in the transaction that does; the lock orders them, so that the newest is the newest.
create procedure platform.announce_fence()
language plpgsql
set search_path = ''
as $$
begin
    perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tenant fences', 0));
    perform pg_catalog.setval('saas.newest_fence', pg_catalog.pg_current_xact_id()::text::bigint);
end
$$;

comment on procedure platform.announce_fence() is 'Makes a fence known to transactions that keep an older snapshot';

revoke all on procedure platform.announce_fence() from public;

-- Every table whose rows tenants write, in the shared schemas and in those of one tenant; by what app may do, not by a
-- list, so that a table made tomorrow has its fence in the transaction that makes it: the runner calls this.
create procedure platform.install_write_fences()
language plpgsql
set search_path = pg_catalog
as $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid::regclass
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        where c.relkind in ('r', 'p')
            and (n.nspname in ('saas', 'ecommerce') or n.nspname ~ '^t_[0-9a-f]{32}_(saas|ecommerce)$')
            and has_table_privilege('app', c.oid, 'insert')
            and not exists (
                select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'fence_writes'
            )
    loop
        execute format(
            'create trigger fence_writes before insert or update or delete on %s '
            'for each statement execute function platform.refuse_fenced_writes()',
            v_table
        );
        -- Fires after the other by its name: the lock has to be held first.
        execute format(
            'create trigger fence_writes_snapshot before insert or update or delete on %s '
            'for each statement when (current_setting(''transaction_isolation'') <> ''read committed'') '
            'execute function platform.refuse_snapshots_before_fence()',
            v_table
        );
    end loop;
end
$$;

comment on procedure platform.install_write_fences() is
'Puts the write fence before every table whose rows tenants write and that has none yet';

revoke all on procedure platform.install_write_fences() from public;

call platform.install_write_fences();

-- How far the schemas of tenants of model schema are; a database of a tenant keeps its own ledger.
create table platform.tenant_migrations (
    tenant_id uuid not null references saas.tenants (id) on delete cascade,
    domain text not null check (domain in ('saas', 'ecommerce')),
    version integer not null check (version > 0),
    name text not null,
    checksum text not null check (checksum ~ '^[0-9a-f]{64}$'),
    applied_at timestamptz not null default now(),
    duration_ms integer not null check (duration_ms >= 0),
    primary key (tenant_id, domain, version)
);

comment on table platform.tenant_migrations is 'Migrations that were applied to tenants'' own schemas';
comment on column platform.tenant_migrations.tenant_id is 'The tenant';
comment on column platform.tenant_migrations.domain is 'saas or ecommerce';
comment on column platform.tenant_migrations.version is 'Number of the file, from 1';
comment on column platform.tenant_migrations.name is 'Name of the file';
comment on column platform.tenant_migrations.checksum is 'SHA-256 of its content; an applied file must not change';
comment on column platform.tenant_migrations.applied_at is 'When it was applied';
comment on column platform.tenant_migrations.duration_ms is 'How long that took, in milliseconds';

-- Nobody who serves a tenant has a privilege on it; the policy is the second lock.
alter table platform.tenant_migrations enable row level security;
alter table platform.tenant_migrations force row level security;
create policy tenant_isolation on platform.tenant_migrations
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));
