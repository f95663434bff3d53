-- The roles of a cell. Roles belong to the whole server, so another database of it may have made them already.
--
-- BYPASSRLS: under forced row security an owner without it sees no rows, a bulk COPY is refused, and dbt's tests
-- pass on nothing. No request of a tenant ever runs as a role that has it.
-- On a managed server the administrator must be allowed to grant BYPASSRLS and REPLICATION: PostgreSQL 15 asks for a
-- superuser, PostgreSQL 16 for an administrator who has the attribute.
do $$
declare
    v_role text;
begin
    foreach v_role in array array['owner', 'migrator', 'loader', 'transformer', 'app', 'auditor', 'replicator'] loop
        if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
            execute format('create role %I', v_role);
        end if;
    end loop;
    -- Where the administrator is no superuser, acting for the owner needs membership.
    if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
        execute format('grant owner, transformer to %I', current_user);
    end if;
end
$$;

alter role owner nologin nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
alter role migrator login nosuperuser nocreatedb nocreaterole noreplication bypassrls;
alter role loader login nosuperuser nocreatedb nocreaterole noreplication bypassrls;
alter role transformer login nosuperuser nocreatedb nocreaterole noreplication bypassrls;
alter role auditor login nosuperuser nocreatedb nocreaterole noreplication bypassrls;
alter role app login nosuperuser nocreatedb nocreaterole noreplication nobypassrls;
alter role replicator login nosuperuser nocreatedb nocreaterole replication nobypassrls;

grant owner to migrator;

comment on role owner is 'Owns the objects; nobody logs in as it';
comment on role migrator is 'Applies migrations and maintains hypertables, acting for the owner';
comment on role loader is 'Bulk loads; not subject to row security, never serves a tenant';
comment on role transformer is 'dbt; owns staging, intermediate and marts, never serves a tenant';
comment on role app is 'What a tenant''s request runs as: under row security, data manipulation only';
comment on role auditor is 'Reads everything to prove isolation and residency; writes only proofs';
comment on role replicator is 'Replication between cells and to standbys';
