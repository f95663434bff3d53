-- The foreign keys say so; this asks the rows, whatever has become of the foreign keys.
select 'ecommerce.users' as object, count(*) as offenders
from ecommerce.users as s
where not exists (select from geo.users as p where p.id = s.person_id)
having count(*) > 0

union all
select 'saas.users', count(*)
from saas.users as s
where not exists (select from geo.users as p where p.id = s.person_id)
having count(*) > 0

union all
select 'geo.eu_user_data', count(*)
from geo.eu_user_data as e
where not exists (select from geo.users as p where p.id = e.user_id)
having count(*) > 0;
