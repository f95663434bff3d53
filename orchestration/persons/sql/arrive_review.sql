-- A review of what the tenant sells too, or has sold, under the same SKU.
insert into {reviews} (tenant_id, product_id, user_id, rating, title, body, created_at)
select {tenant}, p.id, {shopper}, r.rating, r.title, r.body, r.created_at
from jsonb_populate_record(null::ecommerce.reviews, {row}::jsonb) as r
inner join {products} as p on p.tenant_id = {tenant} and p.sku = {sku}
where p.status <> 'draft'
