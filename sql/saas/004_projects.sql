create table saas.projects (
    id uuid not null default gen_random_uuid(),
    tenant_id uuid not null default platform.current_tenant() references saas.tenants (id),
    name text not null check (char_length(name) between 1 and 100),
    created_by uuid,
    created_at timestamptz not null default now(),
    primary key (tenant_id, id),
    -- Composite, so that no project can name another tenant's member of staff.
    foreign key (tenant_id, created_by) references saas.users (tenant_id, id) on delete set null (created_by)
);

create index idx_projects_created_by on saas.projects (tenant_id, created_by);

comment on table saas.projects is 'Projects of a tenant';
comment on column saas.projects.id is 'The project, within the tenant';
comment on column saas.projects.tenant_id is 'The tenant';
comment on column saas.projects.name is 'For people';
comment on column saas.projects.created_by is 'Member of staff who made it, NULL when they are gone';
comment on column saas.projects.created_at is 'When it was made';

alter table saas.projects enable row level security;
alter table saas.projects force row level security;
create policy tenant_isolation on saas.projects
using (tenant_id = (select platform.current_tenant()))
with check (tenant_id = (select platform.current_tenant()));

grant select, insert, update, delete on saas.projects to app;
