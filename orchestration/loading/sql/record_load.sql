-- Both times are the server's: a client's clock may be off. now() is when the transaction began.
insert into platform.loads
(
    load_id, asset, origin, partition_key, source,
    rows_read, rows_loaded, rows_rejected, started_at, finished_at
)
values
(
    %(load_id)s, %(asset)s, %(origin)s, %(partition_key)s, %(source)s,
    %(rows_read)s, %(rows_loaded)s, %(rows_rejected)s, now(), clock_timestamp()
)
on conflict (load_id) do update set
    asset = excluded.asset,
    origin = excluded.origin,
    partition_key = excluded.partition_key,
    source = excluded.source,
    rows_read = excluded.rows_read,
    rows_loaded = excluded.rows_loaded,
    rows_rejected = excluded.rows_rejected,
    started_at = excluded.started_at,
    finished_at = excluded.finished_at;
