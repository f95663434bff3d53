-- Both global relations, here because both are there from here on. Not ENABLE ALWAYS: replication writes the record itself.
create trigger withdraw_freshness after insert or update or delete on saas.plans
for each row execute function platform.withdraw_freshness();
create trigger withdraw_freshness_of_all after truncate on saas.plans
for each statement execute function platform.withdraw_freshness();

create trigger withdraw_freshness after insert or update or delete on geo.regions
for each row execute function platform.withdraw_freshness();
create trigger withdraw_freshness_of_all after truncate on geo.regions
for each statement execute function platform.withdraw_freshness();
