-- As record_load, without replacing the rejects: an import adds to them block by block.
insert into platform.loads
(
    load_id, asset, origin, partition_key, source,
    rows_read, rows_loaded, rows_rejected, started_at, finished_at
)
values
(
    %(load_id)s, %(asset)s, 'import', %(partition_key)s, %(source)s,
    %(rows_read)s, %(rows_loaded)s, %(rows_rejected)s, now(), clock_timestamp()
)
on conflict (load_id) do update set
    rows_read = excluded.rows_read,
    rows_loaded = excluded.rows_loaded,
    rows_rejected = excluded.rows_rejected,
    finished_at = excluded.finished_at;
