-- A subscription writes rows of another server past row security.
select s.subname || ' (' || coalesce(a.name, 'no relation yet') || ')' as object, 1 as offenders
from pg_subscription as s
left join pg_subscription_rel as r on s.oid = r.srsubid
left join actual as a on r.srrelid = a.oid
left join declared as d on a.name = d.name
where s.subdbid = (select b.oid from pg_database as b where b.datname = current_database())
    and d.kind is distinct from 'global';
