select count(*)
from pg_temp.purchases;
