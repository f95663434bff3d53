-- Where people can be that no search of rows reads.
select m.lomowner::regrole::text || ' (large objects)' as object, count(*) as offenders
from pg_largeobject_metadata as m
group by m.lomowner

union all
select 'a prepared transaction of ' || x.owner, count(*)
from pg_prepared_xacts as x
where x.database = current_database()
group by x.owner

union all
select c.oid::regclass::text || ' (foreign table)', 1
from pg_class as c
where c.relkind = 'f';
