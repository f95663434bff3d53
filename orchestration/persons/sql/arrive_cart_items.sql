-- Of a cart what the tenant sells too, under the same SKU.
insert into {cart_items} (tenant_id, cart_id, variant_id, quantity)
select {tenant}, {cart}, v.id, g.quantity
from unnest({skus}::text[], {quantities}::integer[]) as g (sku, quantity)
inner join {product_variants} as v on v.tenant_id = {tenant} and v.sku = g.sku
inner join {products} as p on p.tenant_id = {tenant} and p.id = v.product_id
where p.status = 'active'
