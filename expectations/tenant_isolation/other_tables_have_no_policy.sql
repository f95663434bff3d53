-- A permissive policy on a table that is no tenant's opens it to whoever it names.
select a.name as object, count(*) as offenders
from pg_policy as p
inner join actual as a on p.polrelid = a.oid
left join declared as d on a.name = d.name
where p.polpermissive and d.kind is distinct from 'tenant'
group by a.name;
