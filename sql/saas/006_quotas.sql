-- What a plan allows at once, and the triggers that keep every tenant within its plan (platform/014_metering.sql).
alter table saas.plans
add column if not exists max_connections integer check (max_connections > 0),
add column if not exists statement_timeout_ms integer check (statement_timeout_ms > 0);

comment on column saas.plans.max_connections is 'Most transactions of a tenant at once, NULL for no limit';
comment on column saas.plans.statement_timeout_ms is 'Longest statement of a tenant''s request in milliseconds, NULL for no limit';

create trigger keep_account after insert or update on saas.tenants
for each row execute function metering.keep_account();

create trigger keep_limits after update on saas.plans
for each row execute function metering.keep_limits();

-- Tenants with a schema of their own have tables of their own to count, so a procedure makes the triggers, and makes
-- those that are missing whenever it is called.
create procedure metering.install_counters()
language plpgsql
set search_path = pg_catalog
as $$
declare
    v_table record;
begin
    for v_table in
        select c.oid::regclass as name, case c.relname when 'users' then 'members' else 'projects' end as counted
        from pg_class as c
        inner join pg_namespace as n on c.relnamespace = n.oid
        where c.relname in ('users', 'projects')
            and c.relkind in ('r', 'p')
            and (n.nspname = 'saas' or n.nspname ~ '^t_[0-9a-f]{32}_saas$')
            and not exists (select from pg_trigger as t where t.tgrelid = c.oid and t.tgname = 'count_added')
    loop
        execute format(
            'create trigger count_added after insert on %s referencing new table as added '
            'for each statement execute function metering.count_added(%L)',
            v_table.name, v_table.counted
        );
        execute format(
            'create trigger count_removed after delete on %s referencing old table as removed '
            'for each statement execute function metering.count_removed(%L)',
            v_table.name, v_table.counted
        );
    end loop;
end
$$;

comment on procedure metering.install_counters() is
'Puts the quotas'' triggers on every table of members and projects that has none yet';

revoke all on procedure metering.install_counters() from public;

call metering.install_counters();

-- Tenants that are here already; row security would hide them from the owner.
reset role;

insert into metering.accounts (
    tenant_id, subdomain, plan, model, members, projects, max_members, max_projects, max_events_per_month
)
select
    t.id,
    t.subdomain,
    t.plan,
    t.model,
    (select count(*) from saas.users as u where u.tenant_id = t.id),
    (select count(*) from saas.projects as j where j.tenant_id = t.id),
    p.max_users,
    p.max_projects,
    p.max_events_per_month
from saas.tenants as t
inner join saas.plans as p on t.plan = p.plan;

alter table metering.accounts
add constraint accounts_tenant_id_fkey foreign key (tenant_id) references saas.tenants (id) on delete cascade;
