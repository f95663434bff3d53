-- The same number of products for every tenant of the cell.
insert into ecommerce.products (tenant_id, id, name, base_price, sku)
select t.id, p.number, 'Product ' || p.number, 10 + p.number, 'sku-' || p.number
from saas.tenants as t
cross join generate_series(1, %(products)s) as p (number)
