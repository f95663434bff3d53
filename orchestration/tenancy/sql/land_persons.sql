-- Persons of a tenant's own database that the cell does not know yet: their rows refer to them.
insert into geo.users (id, email, region)
select p.id, '', p.region
from landed_persons as p
on conflict (id) do nothing
