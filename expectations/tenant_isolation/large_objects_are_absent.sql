-- A large object has an owner and grants, no tenant and no row security.
select m.lomowner::regrole::text || ' (large objects)' as object, count(*) as offenders
from pg_largeobject_metadata as m
group by m.lomowner;
