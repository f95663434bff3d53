-- A row in every tenant's table that a shop with a shopper and two variants does not have yet.

insert into saas.users (tenant_id, person_id, email)
select %(tenant)s, id, 'x@example.com'
from geo.users limit 1;

insert into saas.projects (tenant_id, name)
values (%(tenant)s, 'p');

insert into ecommerce.categories (tenant_id, name, slug)
values (%(tenant)s, 'c', 'c');

insert into ecommerce.carts (tenant_id, user_id)
values (%(tenant)s, %(shopper)s);

insert into ecommerce.cart_items (tenant_id, cart_id, variant_id, quantity)
select %(tenant)s, id, %(variant)s, 1
from ecommerce.carts
where tenant_id = %(tenant)s;

insert into ecommerce.reviews (tenant_id, product_id, user_id, rating)
select %(tenant)s, id, %(shopper)s, 5
from ecommerce.products
where tenant_id = %(tenant)s;

insert into ecommerce.orders (tenant_id, user_id)
values (%(tenant)s, %(shopper)s);

insert into ecommerce.order_items (tenant_id, order_id, variant_id, quantity, unit_price, total_price)
select %(tenant)s, id, %(variant)s, 1, 1, 1
from ecommerce.orders
where tenant_id = %(tenant)s;

insert into ecommerce.payments (tenant_id, order_id, amount, currency, provider, provider_token)
select %(tenant)s, id, 1, 'USD', 'p', 'tok_1'
from ecommerce.orders
where tenant_id = %(tenant)s;

insert into ecommerce.inventory_movements (tenant_id, variant_id, quantity_change, reason)
values (%(tenant)s, %(variant)s, 1, 'restock');

insert into analytics.events_history (time, tenant_id, event_id, event_type, origin, load_id)
values (now(), %(tenant)s, gen_random_uuid(), 'click', 'import', gen_random_uuid());

insert into analytics.events (time, tenant_id, event_id, event_type, origin, load_id)
values (now(), %(tenant)s, gen_random_uuid(), 'click', 'import', gen_random_uuid());
