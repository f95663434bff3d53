-- A statement of its own: it sees the claims that the one before has waited for.
select
    s.row_number,
    l.time,
    l.claimed_by
from pg_temp.staged_ids as s
inner join analytics.event_ids as l on s.tenant_id = l.tenant_id and s.event_id = l.event_id
where not exists (
    select from pg_temp.claimed_ids as c
    where c.tenant_id = s.tenant_id and c.event_id = s.event_id
);
