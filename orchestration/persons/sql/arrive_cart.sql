insert into {carts} (tenant_id, user_id, status, created_at, updated_at)
select {tenant}, {shopper}, c.status, c.created_at, c.updated_at
from jsonb_populate_record(null::ecommerce.carts, {row}::jsonb) as c
returning id
