update platform.stream_incarnations
set closed_at = clock_timestamp(),
    closed_because = %(because)s,
    lost_from = %(lost_from)s,
    lost_to = %(lost_to)s,
    lost_at_least = %(lost_at_least)s
where closed_at is null
