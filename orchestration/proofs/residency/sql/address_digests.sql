-- Of everybody with a record in one of these regions: the address of the record and those of their accounts.
select encode(sha256(convert_to(%(salt)s || lower(a.email), 'UTF8')), 'hex') as digest
from geo.users as u
cross join lateral (
    select u.email
    union all
    select s.email from ecommerce.users as s where s.person_id = u.id
    union all
    select m.email from saas.users as m where m.person_id = u.id
) as a
where u.region = any(%(regions)s)
    and a.email like '%%@%%'
