-- Of several processors each saw the queue at another moment: the newest sight counts.
update platform.stream_incarnations
set newest_ms = %(newest_ms)s,
    newest_seq = %(newest_seq)s,
    appended = %(appended)s,
    oldest_ms = %(oldest_ms)s,
    waiting = %(waiting)s,
    dead_letters = %(dead_letters)s,
    progressed_at = clock_timestamp()
where incarnation = %(incarnation)s
    and closed_at is null
    and (newest_ms, newest_seq) <= (%(newest_ms)s, %(newest_seq)s)
