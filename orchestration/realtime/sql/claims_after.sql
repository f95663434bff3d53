-- Entries behind a position whose events are stored, by the ledger that remembers which entry brought an event.
select count(*) from analytics.event_ids as e
where e.claimed_by is not null
    and e.claimed_on >= (to_timestamp(%(after_ms)s / 1000.0) at time zone 'UTC')::date
    and (split_part(e.claimed_by, '-', 1)::bigint, split_part(e.claimed_by, '-', 2)::bigint)
    > (%(after_ms)s, %(after_seq)s)
