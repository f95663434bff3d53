-- Events of a tenant that is closed are not written either: while it is moved or restored they would be lost or doubled.
-- As migrator, to whom the hypertable belongs on one edition and whose owner he may act for on the other.
reset role;

create trigger fence_writes before insert or update or delete on analytics.events
for each statement execute function platform.refuse_fenced_writes();

create trigger fence_writes_snapshot before insert or update or delete on analytics.events
for each statement when (current_setting('transaction_isolation') <> 'read committed')
execute function platform.refuse_snapshots_before_fence();

create trigger fence_writes before insert or update or delete on analytics.events_history
for each statement execute function platform.refuse_fenced_writes();

create trigger fence_writes_snapshot before insert or update or delete on analytics.events_history
for each statement when (current_setting('transaction_isolation') <> 'read committed')
execute function platform.refuse_snapshots_before_fence();
