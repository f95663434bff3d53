-- A canary in a relation, a chunk, a mart, a rollup, a tenant's own schema or database, in the texts of the catalog, or in
-- another database of the same server: whatever wrote it there has written other people too.
select f.object, f.offenders
from survey as f
where f.state = 'copy' and f.store in ('relations', 'tenant databases', 'other databases');
