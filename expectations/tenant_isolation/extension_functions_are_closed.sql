-- TimescaleDB's functions check no ownership throughout (drop_chunk) and start jobs and workers. The same choice as in
-- platform.close_public_functions(), which closes them.
select p.oid::regprocedure::text || ' (' || s.rolname || ')' as object, 1 as offenders
from pg_proc as p
inner join pg_depend as d
    on d.classid = 'pg_proc'::regclass and p.oid = d.objid and d.deptype = 'e'
    and d.refclassid = 'pg_extension'::regclass
inner join pg_extension as e on d.refobjid = e.oid
cross join serving as s
where e.extname = 'timescaledb'
    and p.provolatile = 'v'
    and p.proname not in ('time_bucket_gapfill', 'locf', 'interpolate')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and has_function_privilege(s.oid, p.oid, 'execute');
