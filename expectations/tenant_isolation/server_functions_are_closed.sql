-- Functions of the server that reach beyond the session: files, programs, other sessions' queries and locks, large
-- objects. What the server installs for nobody has to stay so; of what it gives to PUBLIC, these are taken back where the
-- platform administers the server (on a managed one nobody can: see docs/isolation.md).
select p.oid::regprocedure::text || ' (' || s.rolname || ')' as object, 1 as offenders
from pg_proc as p
cross join serving as s
where p.pronamespace = 'pg_catalog'::regnamespace
    and has_function_privilege(s.oid, p.oid, 'execute')
    and (
        (
            (
                select o.rolsuper
                from pg_database as d
                inner join pg_roles as o on d.datdba = o.oid
                where d.datname = current_database()
            )
            and p.proname in (
                'pg_stat_get_activity', 'pg_stat_get_backend_activity', 'pg_lock_status', 'pg_blocking_pids',
            'pg_safe_snapshot_blocking_pids', 'pg_terminate_backend', 'pg_cancel_backend',
            'pg_advisory_lock', 'pg_try_advisory_lock', 'pg_advisory_lock_shared', 'pg_try_advisory_lock_shared',
            'pg_advisory_xact_lock', 'pg_try_advisory_xact_lock', 'lo_creat', 'lo_create', 'lo_from_bytea'
            )
        )
        or exists (
            select from pg_init_privs as i
            where i.classoid = 'pg_proc'::regclass
                and i.objoid = p.oid
                and not exists (
                    select from aclexplode(i.initprivs) as y
                    where y.grantee in (0, s.oid) and y.privilege_type = 'EXECUTE'
                )
        )
    );
