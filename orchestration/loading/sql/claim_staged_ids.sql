-- In the ledger's order, so that two claimers of the same ids wait for each other and never in a circle. What is there,
-- or comes from another transaction meanwhile, is left as it is.
with claimed as (
    insert into analytics.event_ids (tenant_id, event_id, time, claimed_by)
    select s.tenant_id, s.event_id, s.time, s.claimed_by
    from pg_temp.staged_ids as s
    order by s.tenant_id, s.event_id
    on conflict (tenant_id, event_id) do nothing
    returning tenant_id, event_id
)

insert into pg_temp.claimed_ids (tenant_id, event_id)
select c.tenant_id, c.event_id
from claimed as c;
