select count(*)
from pg_temp.staging as staged
inner join {table} as existing using ({key})
where row({existing}) is distinct from row({staged});
