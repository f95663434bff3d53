-- Which server this is, and since when it has run without a crash: after one the statistics begin anew, also where the
-- postmaster itself went on.
select
    (select s.system_identifier from pg_control_system() as s)::text
    || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8),
    greatest(pg_postmaster_start_time(), pg_stat_get_bgwriter_stat_reset_time())
