-- Functions of the server and of extensions that PUBLIC may execute and a tenant's request must not.
--
-- drop_chunk(regclass) of TimescaleDB checks no ownership; others start and stop background workers or create jobs.
-- An update of an extension grants new functions to PUBLIC, so this is a procedure that each run of the platform's
-- migrations calls again; it touches only what is open.
create procedure platform.close_public_functions()
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
    -- included. Large objects have no row security and one owner for all tenants. Only a superuser may take these
    -- back; elsewhere the provider's defaults stand, which the isolation suite reports.
    if (select rolsuper from pg_roles where rolname = current_user) then
        for v_function in
            select p.oid::regprocedure as signature, p.proname like 'pg_stat%' as only_measures
            from pg_proc as p
            where p.oid in (
                    'pg_stat_get_activity(integer)'::regprocedure,
                    'pg_stat_get_backend_activity(integer)'::regprocedure,
                    'lo_creat(integer)'::regprocedure,
                    'lo_create(oid)'::regprocedure,
                    'lo_from_bytea(oid, bytea)'::regprocedure
                )
                and has_function_privilege('public', p.oid, 'execute')
        loop
            execute format('revoke execute on routine %s from public', v_function.signature);
            if v_function.only_measures then
                execute format(
                    'grant execute on routine %s to migrator, loader, transformer, auditor, pg_monitor',
                    v_function.signature
                );
            end if;
        end loop;
    end if;
end
$$;

comment on procedure platform.close_public_functions() is
'Takes back from PUBLIC what a tenant''s request must not execute; called at every run of the platform''s migrations';

revoke all on procedure platform.close_public_functions() from public;

call platform.close_public_functions();
