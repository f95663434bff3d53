set local role owner;

-- The journal of what is done to a tenant as a whole (create, move, erase, …). Each verb is a row of steps, each of
-- which is idempotent; a process that was killed left its row at the last step that it finished, and whoever repeats
-- the verb goes on from there.
create table platform.tenant_operations (
    operation_id uuid not null default gen_random_uuid(),
    tenant_id uuid not null,
    verb text not null check (verb ~ '^[a-z]+$'),
    arguments jsonb not null default '{}' check (jsonb_typeof(arguments) = 'object'),
    facts jsonb not null default '{}' check (jsonb_typeof(facts) = 'object'),
    step text,
    state text not null default 'running' check (state in ('running', 'failed', 'done', 'undone')),
    started_at timestamptz not null default clock_timestamp(),
    updated_at timestamptz not null default clock_timestamp(),
    error text,
    primary key (tenant_id, operation_id)
);

-- Two open operations of one tenant would work against each other.
create unique index idx_tenant_operations_open on platform.tenant_operations (tenant_id)
where state in ('running', 'failed');
create index idx_tenant_operations_tenant on platform.tenant_operations (tenant_id, started_at desc);

comment on table platform.tenant_operations is 'Journal of resumable operations on whole tenants; names and counts, nothing personal';
comment on column platform.tenant_operations.operation_id is 'The operation';
comment on column platform.tenant_operations.tenant_id is 'The tenant; all zeros once it is erased';
comment on column platform.tenant_operations.verb is 'create, move, export, erase, backup, restore, …';
comment on column platform.tenant_operations.arguments is 'What was asked for; nothing personal';
comment on column platform.tenant_operations.facts is 'What later steps need to know of earlier ones: names, counts and digests';
comment on column platform.tenant_operations.step is 'Last step that was finished, NULL before the first';
comment on column platform.tenant_operations.state is 'running, failed (repeat the verb to go on), done, or undone (rolled back)';
comment on column platform.tenant_operations.started_at is 'When it was first asked for';
comment on column platform.tenant_operations.updated_at is 'When it last got further';
comment on column platform.tenant_operations.error is 'Why it stopped, without any row''s content';

-- Nobody who serves a tenant has a privilege on it; the policy is the second lock.
alter table platform.tenant_operations enable row level security;
alter table platform.tenant_operations force row level security;
create policy tenant_isolation on platform.tenant_operations
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

-- Tenants that are here no more. Generators and old files still know them: whoever loads asks here first, so that
-- nobody comes back by a reload. Only a salted digest: the record of an erasure must not say who was erased.
create table platform.former_tenants (
    digest text primary key check (digest ~ '^[0-9a-f]{64}$'),
    salt text not null,
    why text not null check (why in ('moved', 'erased')),
    since timestamptz not null default clock_timestamp()
);

comment on table platform.former_tenants is 'Tenants that were moved away or erased; seeds and loads leave them out';
comment on column platform.former_tenants.digest is 'SHA-256 of salt and tenant''s id';
comment on column platform.former_tenants.salt is 'Random, of this row alone';
comment on column platform.former_tenants.why is 'moved to another cell, or erased';
comment on column platform.former_tenants.since is 'When';

create function platform.is_former_tenant(p_tenant_id uuid) returns boolean
language sql stable
return exists (
    select from platform.former_tenants
    where digest = encode(sha256(convert_to(salt || p_tenant_id::text, 'UTF8')), 'hex')
);

comment on function platform.is_former_tenant(uuid) is 'Whether the tenant was moved away from this cell or erased';

grant execute on function platform.is_former_tenant(uuid) to migrator, loader, transformer, auditor;
grant select, insert, update, delete on platform.tenant_operations, platform.former_tenants to loader;
