select 1
from platform.loads
where load_id = %(events_load_id)s;
