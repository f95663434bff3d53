-- Every store that is registered (orchestration/cells/stores.py), and how it is reached.
select store.name, store.medium
from jsonb_to_recordset(current_setting('proof.stores')::jsonb) as store (name text, medium text);
