-- Closes what is asked for and leaves closed what is.
insert into saas.tenant_fences as f (tenant_id, reads, writes, reason)
values (%(tenant)s, %(reads)s, %(writes)s, %(reason)s)
on conflict (tenant_id) do update
set reads = f.reads or excluded.reads, writes = f.writes or excluded.writes, reason = excluded.reason
