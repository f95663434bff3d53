create table saas.users (
    id uuid not null default gen_random_uuid(),
    tenant_id uuid not null default platform.current_tenant() references saas.tenants (id),
    person_id uuid not null references geo.users (id),
    email text not null check (char_length(email) <= 320),
    role text not null default 'member' check (role in ('owner', 'admin', 'member', 'viewer')),
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    unique (tenant_id, email)
);

create index idx_saas_users_person on saas.users (person_id);

comment on table saas.users is 'Staff of a tenant';
comment on column saas.users.id is 'The member of staff, within the tenant';
comment on column saas.users.tenant_id is 'The tenant';
comment on column saas.users.person_id is 'The person, in the same cell';
comment on column saas.users.email is 'Login, unique within the tenant';
comment on column saas.users.role is 'owner, admin, member or viewer';
comment on column saas.users.created_at is 'When the member joined';

alter table saas.users enable row level security;
alter table saas.users force row level security;
create policy tenant_isolation on saas.users
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

grant select, insert, update, delete on saas.users to app;
