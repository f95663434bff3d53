select 'geo.users (region ' || u.region || ')' as object, u.people as offenders
from (select x.region, count(*) as people from geo.users as x group by x.region) as u
left join regions as r on u.region = r.region
where r.region is null or not current_setting('proof.cell') = any(r.residency);
