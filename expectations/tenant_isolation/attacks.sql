-- What the live attacks of this proof came to, before they are stored with its verdict.
select attack.attack, attack.object, attack.state, attack.offenders
from jsonb_to_recordset(current_setting('proof.attacks')::jsonb) as attack (
    attack text, object text, state text, offenders bigint
);
