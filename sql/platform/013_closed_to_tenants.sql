-- What a tenant's request could still do to the other tenants' sessions: see their locks, end them, and take the advisory
-- locks that proofs, loads and fences take turns by.
create or replace procedure platform.close_public_functions()
language plpgsql
set search_path = pg_catalog
as $$
declare
    v_function record;
begin
    for v_function in
        select
            p.oid::regprocedure as signature,
            p.proname ~ '(_size|_stats|^approximate_row_count)$' as only_measures
        from pg_proc as p
        inner join pg_depend as d
            on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
            and d.refclassid = 'pg_extension'::regclass
        inner join pg_extension as e on d.refobjid = e.oid
        where e.extname = 'timescaledb'
            and p.provolatile = 'v'
            -- These only compute with their arguments, although they are marked volatile.
            and p.proname not in ('time_bucket_gapfill', 'locf', 'interpolate')
            and p.prorettype <> 'trigger'::regtype
            and has_function_privilege('public', p.oid, 'execute')
    loop
        execute format('revoke execute on routine %s from public', v_function.signature);
        execute format('grant execute on routine %s to owner, migrator', v_function.signature);
        if v_function.only_measures then
            execute format('grant execute on routine %s to loader, transformer, auditor', v_function.signature);
        end if;
    end loop;

    -- All requests of all tenants run as one role, and a role sees the text of its own sessions' queries, literals
    -- included, sees and ends its own sessions, and takes any advisory lock: those of a proof, of a load, of another
    -- tenant's fence. Writers of a tenant share a lock until their transaction ends; that one stays open. Large objects
    -- have no row security and one owner for all tenants. Only a superuser may take these back; elsewhere the
    -- provider's defaults stand.
    if (select rolsuper from pg_roles where rolname = current_user) then
        for v_function in
            select p.oid::regprocedure as signature, f.grantees
            from (
                values
                ('pg_stat_get_activity', 'migrator, loader, transformer, auditor, pg_monitor'),
                ('pg_stat_get_backend_activity', 'migrator, loader, transformer, auditor, pg_monitor'),
                ('pg_lock_status', 'migrator, loader, transformer, auditor, pg_monitor'),
                ('pg_blocking_pids', 'migrator, loader, transformer, auditor, pg_monitor'),
                ('pg_safe_snapshot_blocking_pids', 'migrator, loader, transformer, auditor, pg_monitor'),
                ('pg_cancel_backend', 'migrator, loader, transformer, auditor, pg_signal_backend'),
                ('pg_terminate_backend', 'migrator, loader, transformer, auditor, pg_signal_backend'),
                ('pg_advisory_lock', 'owner, migrator, loader, transformer, auditor'),
                ('pg_try_advisory_lock', 'owner, migrator, loader, transformer, auditor'),
                ('pg_advisory_lock_shared', 'owner, migrator, loader, transformer, auditor'),
                ('pg_try_advisory_lock_shared', 'owner, migrator, loader, transformer, auditor'),
                ('pg_advisory_xact_lock', 'owner, migrator, loader, transformer, auditor'),
                ('pg_try_advisory_xact_lock', 'owner, migrator, loader, transformer, auditor'),
                ('lo_creat', null),
                ('lo_create', null),
                ('lo_from_bytea', null)
            ) as f (name, grantees)
            inner join pg_proc as p on p.proname = f.name and p.pronamespace = 'pg_catalog'::regnamespace
            where has_function_privilege('public', p.oid, 'execute')
        loop
            execute format('revoke execute on routine %s from public', v_function.signature);
            if v_function.grantees is not null then
                execute format('grant execute on routine %s to %s', v_function.signature, v_function.grantees);
            end if;
        end loop;
    end if;
end
$$;

call platform.close_public_functions();

-- Whoever looks from another database of this server (of another cell in tests, of a tenant) knows it by this.
do $$
begin
    if (select pg_catalog.pg_has_role(d.datdba, 'usage') from pg_catalog.pg_database as d where d.datname = current_database())
    then
        execute format('comment on database %I is %L', current_database(), 'Capstone: a cell');
    end if;
end
$$;
