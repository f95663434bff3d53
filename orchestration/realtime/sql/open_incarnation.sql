select incarnation, newest_ms, newest_seq, appended, oldest_ms, waiting, dead_letters, progressed_at
from platform.stream_incarnations
where closed_at is null
