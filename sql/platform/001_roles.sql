-- The roles of a cell. Roles belong to the whole server, so another database of it may have made them already.
--
-- BYPASSRLS: under forced row security an owner without it sees no rows, a bulk COPY is refused, and dbt's tests
-- pass on nothing. No request of a tenant ever runs as a role that has it.
-- PostgreSQL 15 lets only a superuser grant BYPASSRLS and REPLICATION, 16 and later an administrator who has them.
-- Where a managed server allows neither, its operator makes the roles beforehand as they are here; a role that is as
-- it should be is not touched.
do $$
declare
    v_role record;
begin
    for v_role in
        select w.name, w.logs_in, w.bypasses, w.replicates, r.oid is not null as present
        from (
            values
            ('owner', false, false, false),
            ('migrator', true, true, false),
            ('loader', true, true, false),
            ('transformer', true, true, false),
            ('auditor', true, true, false),
            ('app', true, false, false),
            ('replicator', true, false, true)
        ) as w (name, logs_in, bypasses, replicates)
        left join pg_catalog.pg_roles as r on w.name = r.rolname
        where r.oid is null
            or r.rolcanlogin <> w.logs_in or r.rolbypassrls <> w.bypasses or r.rolreplication <> w.replicates
            or r.rolsuper or r.rolcreatedb or r.rolcreaterole
    loop
        execute format(
            '%s role %I %s %s %s nosuperuser nocreatedb nocreaterole',
            case when v_role.present then 'alter' else 'create' end,
            v_role.name,
            case when v_role.logs_in then 'login' else 'nologin' end,
            case when v_role.bypasses then 'bypassrls' else 'nobypassrls' end,
            case when v_role.replicates then 'replication' else 'noreplication' end
        );
    end loop;

    if not pg_catalog.pg_has_role('migrator', 'owner', 'usage') then
        grant owner to migrator;
    end if;
    -- Where the administrator is no superuser, acting for the owner needs membership.
    if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
        execute format('grant owner, migrator, transformer to %I', current_user);
    end if;
end
$$;

comment on role owner is 'Owns the objects; nobody logs in as it';
comment on role migrator is 'Applies migrations and maintains hypertables, acting for the owner';
comment on role loader is 'Bulk loads; not subject to row security, never serves a tenant';
comment on role transformer is 'dbt; owns staging, intermediate and marts, never serves a tenant';
comment on role app is 'What a tenant''s request runs as: under row security, data manipulation only';
comment on role auditor is 'Reads everything to prove isolation and residency; writes only proofs';
comment on role replicator is 'Replication between cells and to standbys';
