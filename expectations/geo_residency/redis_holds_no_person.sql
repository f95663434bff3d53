-- Counters and queue know shoppers by their number within a tenant, never a person.
select f.object, f.offenders
from survey as f
where f.state = 'copy' and f.object like 'Redis (%';
