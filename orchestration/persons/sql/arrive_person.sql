-- The person as the old cell knew them, of another region. Who is here already, as staff of a tenant that moved, say, is
-- completed where only id and region were known.
insert into geo.users as here (id, email, region, profile, created_at)
select p.id, p.email, %(region)s, p.profile, p.created_at
from jsonb_populate_record(null::geo.users, %(person)s::jsonb) as p
on conflict (id) do update
set region = excluded.region,
    email = case when here.email = '' then excluded.email else here.email end,
    profile = case when here.email = '' then excluded.profile else here.profile end
