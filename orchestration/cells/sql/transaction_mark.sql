-- The transaction's own number, which is thereby given, and which server gave it: after a fail-over another server of
-- another timeline may give the same one. The time is the server's.
select
    pg_current_xact_id()::text,
    (select s.system_identifier from pg_control_system() as s)::text
    || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8),
    clock_timestamp()
