insert into platform.stream_incarnations (incarnation, newest_ms, newest_seq, appended)
values (%(incarnation)s, %(newest_ms)s, %(newest_seq)s, %(appended)s)
