with person as (
    insert into geo.users (email, region, profile) values ('ann@example.com', 'na', '{"phone": "1"}') returning id
),
member as (
    insert into saas.users (person_id, email) select id, 'staff@example.com' from person returning id
)
insert into saas.projects (name, created_by) select 'p', null from member;

insert into ecommerce.users (id, person_id, email, password_hash, first_name, last_name)
select 1, id, 'ann@example.com', 'secret', 'Ann', 'Ash' from geo.users
where email = 'ann@example.com' order by created_at desc limit 1;

insert into ecommerce.addresses (id, user_id, address_type, street_line1, city, country)
values (1, 1, 'shipping', '1 St', 'X', 'US');

insert into ecommerce.categories (id, name, slug) values (7, 'Tops', 'tops');
insert into ecommerce.categories (id, name, slug, parent_id) values (8, 'Shirts', 'shirts', 7);
insert into ecommerce.products (id, name, base_price, sku, category_id) values (1, 'Shirt', 10, 'shirt', 8);
insert into ecommerce.product_variants (id, product_id, sku) values (1, 1, 'shirt-s');
insert into ecommerce.orders (id, user_id, shipping_address_id, billing_address_id, subtotal, total_amount)
values (1, 1, 1, 1, 10, 10);
insert into ecommerce.order_items (id, order_id, variant_id, quantity, unit_price, total_price)
values (1, 1, 1, 1, 10, 10);
