-- Who may enter where. Everything that PostgreSQL grants to PUBLIC by default is taken back, then given by name.

do $$
begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to migrator, loader, transformer, app, auditor, replicator', current_database()
    );
    -- Temporary tables only where bulk work stages rows; a tenant's request has no use for them.
    execute format('grant temporary on database %I to migrator, loader, transformer', current_database());
end
$$;

-- PUBLIC may connect to the server's other databases too, and read their catalogs. On a managed server they belong
-- to the provider, who does not let the administrator change them.
do $$
declare
    v_database name;
begin
    for v_database in
        select d.datname
        from pg_catalog.pg_database as d
        where d.datname in ('postgres', 'template1')
            and pg_catalog.pg_has_role(d.datdba, 'usage')
    loop
        execute format('revoke all on database %I from public', v_database);
    end loop;
end
$$;

revoke create on schema public from public;

-- Made by the runner, for its ledger.
alter schema platform owner to owner;
create schema geo authorization owner;
create schema saas authorization owner;
create schema ecommerce authorization owner;
create schema analytics authorization owner;
create schema analytics_chunks authorization owner;
create schema staging authorization transformer;
create schema intermediate authorization transformer;
create schema marts authorization transformer;

comment on schema platform is 'The platform''s own records: migrations, loads, proofs, and the functions that row security rests on';
comment on schema geo is 'Persons and their region of record, and what residency rests on';
comment on schema saas is 'Tenants, their staff, projects and plans';
comment on schema ecommerce is 'The shops: shoppers, catalogue, orders, payments, inventory';
comment on schema analytics is 'Behavioural events and their rollups';
comment on schema analytics_chunks is 'Chunks of the hypertables. They inherit grants but no policy, so no tenant''s role may enter';
comment on schema staging is 'dbt: sources renamed and cast';
comment on schema intermediate is 'dbt: steps between staging and marts';
comment on schema marts is 'dbt: what people and tenants read';

grant usage on schema platform, geo, saas, ecommerce, analytics to app, loader, transformer, auditor;
grant usage on schema marts to app, loader, auditor;
grant usage on schema staging, intermediate, analytics_chunks to auditor;

-- Functions are executable by PUBLIC unless the default is changed, for all schemas at once: a per-schema default
-- cannot take back what the global one gives.
alter default privileges for role owner revoke execute on functions from public;
alter default privileges for role migrator revoke execute on functions from public;
alter default privileges for role transformer revoke execute on functions from public;
alter default privileges revoke execute on functions from public;

-- A table added later is readable for the proofs and for dbt, and loadable, without a further statement. For app
-- every privilege is given by name, table by table.
alter default privileges for role owner in schema platform, geo, saas, ecommerce, analytics
grant select on tables to auditor;
alter default privileges for role owner in schema geo, saas, ecommerce, analytics
grant select on tables to transformer;
alter default privileges for role owner in schema geo, saas, ecommerce, analytics
grant select, insert, update, delete on tables to loader;
alter default privileges for role owner in schema geo, saas, ecommerce, analytics
grant usage, select, update on sequences to loader;
alter default privileges for role transformer in schema staging, intermediate, marts
grant select on tables to auditor;
