create table saas.tenants (
    id uuid primary key default gen_random_uuid(),
    tenant_id uuid not null generated always as (id) stored unique,
    name text not null check (char_length(name) between 1 and 100),
    -- One label of a host name.
    subdomain text not null unique check (subdomain ~ '^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$'),
    plan text not null default 'free' references saas.plans (plan),
    status text not null default 'active' check (status in ('active', 'suspended')),
    created_at timestamptz not null default now()
);

create index idx_tenants_plan on saas.tenants (plan);

comment on table saas.tenants is 'Merchants; a merchant that sells in two regions is two tenants';
comment on column saas.tenants.id is 'The tenant';
comment on column saas.tenants.tenant_id is 'The tenant again, so that every tenant''s table has the same column and policy';
comment on column saas.tenants.name is 'For people';
comment on column saas.tenants.subdomain is 'Host name label of the shop';
comment on column saas.tenants.plan is 'Subscription tier';
comment on column saas.tenants.status is 'active or suspended';
comment on column saas.tenants.created_at is 'When the tenant signed up';

alter table saas.tenants enable row level security;
alter table saas.tenants force row level security;
create policy tenant_isolation on saas.tenants
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

-- Plan, status and existence of a tenant are the operator's to change, and a tenant that could insert subdomains
-- could ask which ones exist.
grant select on saas.tenants to app;
