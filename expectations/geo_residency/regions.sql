-- The regions and where their people may live, as the platform has them.
select region.region, region.name, region.residency
from jsonb_to_recordset(current_setting('proof.regions')::jsonb) as region (
    region text, name text, residency text[]
);
