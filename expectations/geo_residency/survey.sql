-- What the survey of all stores found, which looks where no query of this database can.
select finding.store, finding.object, finding.state, finding.offenders
from jsonb_to_recordset(current_setting('proof.survey')::jsonb) as finding (
    store text, object text, state text, offenders bigint
);
