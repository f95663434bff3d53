-- What the same rules found in the databases of single tenants, each asked over a connection of its own; what could not be
-- asked counts as found.
select finding.object, finding.offenders
from jsonb_to_recordset(current_setting('proof.tenant_databases')::jsonb) as finding (object text, offenders bigint);
