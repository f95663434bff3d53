-- Persons and what refers to them, by the person's region of record: how many rows this cell has of each.
select 'persons' as category, p.region, count(*) as rows
from geo.users as p
group by p.region

union all
select 'sensitive data', p.region, count(*)
from geo.eu_user_data as e
inner join geo.users as p on e.user_id = p.id
group by p.region

union all
select 'shoppers', p.region, count(*)
from ecommerce.users as s
inner join geo.users as p on s.person_id = p.id
group by p.region

union all
select 'staff', p.region, count(*)
from saas.users as s
inner join geo.users as p on s.person_id = p.id
group by p.region
