-- The control cluster has no region: run records and global aggregates are read wherever somebody looks at them.
select f.object, f.offenders
from survey as f
where f.state = 'copy' and f.store in ('run records', 'global aggregates');
