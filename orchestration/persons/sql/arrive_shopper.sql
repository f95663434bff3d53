insert into {users} (tenant_id, person_id, email, password_hash, first_name, last_name, created_at)
select {tenant}, u.person_id, u.email, u.password_hash, u.first_name, u.last_name, u.created_at
from jsonb_populate_record(null::ecommerce.users, {row}::jsonb) as u
returning id
