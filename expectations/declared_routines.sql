-- Every function and procedure that sql/ makes, by its last definition; body is NULL where the server keeps it parsed.
select routine.name, routine.body, routine.definer
from jsonb_to_recordset(current_setting('proof.routines')::jsonb) as routine (name text, body text, definer boolean);
