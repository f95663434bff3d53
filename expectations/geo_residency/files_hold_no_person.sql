-- Exports, backups, certificates, data docs, dbt's artifacts and docs, evidence, logs: of this cell, and those of all. A
-- canary belongs to no tenant, so no tenant's archive holds one.
select f.object, f.offenders
from survey as f
inner join stores as s on f.store = s.name
where f.state = 'copy' and s.medium = 'files';
