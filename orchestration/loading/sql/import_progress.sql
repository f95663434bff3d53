select
    source,
    mapping,
    mapping_digest,
    position,
    next_line,
    rows_loaded,
    rows_history,
    rows_repeated,
    rows_rejected,
    first_time,
    last_time,
    seconds,
    started_at,
    finished_at
from analytics.imports
where tenant_id = %(tenant_id)s and load_id = %(load_id)s;
