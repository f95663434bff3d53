insert into analytics.imports as existing
(
    tenant_id, load_id, source, digest, format, mapping, mapping_digest, position, next_line,
    rows_read, rows_loaded, rows_history, rows_repeated, rows_rejected, first_time, last_time, seconds, finished_at
)
values
(
    %(tenant_id)s, %(load_id)s, %(source)s, %(digest)s, %(format)s, %(mapping)s, %(mapping_digest)s,
    %(position)s, %(next_line)s, %(rows_read)s, %(rows_loaded)s, %(rows_history)s, %(rows_repeated)s,
    %(rows_rejected)s, %(first_time)s, %(last_time)s, %(seconds)s, case when %(finished)s then clock_timestamp() end
)
on conflict (tenant_id, load_id) do update set
    position = excluded.position,
    next_line = excluded.next_line,
    rows_read = excluded.rows_read,
    rows_loaded = excluded.rows_loaded,
    rows_history = excluded.rows_history,
    rows_repeated = excluded.rows_repeated,
    rows_rejected = excluded.rows_rejected,
    first_time = excluded.first_time,
    last_time = excluded.last_time,
    seconds = excluded.seconds,
    updated_at = clock_timestamp(),
    finished_at = excluded.finished_at;
