-- Small merchants with a row in every relation of tenants. Personal columns carry a marker that no proof, page or
-- result may ever show. Parameters: the cell's region, how many tenants.
do $seed$
declare
    v_region text := current_setting('seed.region');
    v_tenants integer := current_setting('seed.tenants')::integer;
    v_load uuid := '00000000-0000-0000-0000-0000000000aa';
    v_tenant uuid;
    v_person uuid;
begin
    for i in 1..v_tenants loop
        v_tenant := md5(v_region || 'tenant' || i)::uuid;
        insert into saas.tenants (id, name, subdomain, plan) values (v_tenant, 'Shop ' || i, v_region || '-' || i, 'free');
        insert into ecommerce.store_settings (tenant_id) values (v_tenant);
        for j in 1..2 + i loop
            v_person := md5(v_region || 'person' || i || '/' || j)::uuid;
            insert into geo.users (id, email, region, profile)
            values (v_person, 'm4rk3r-' || i || '-' || j || '@example.com', v_region, '{"note": "m4rk3r-profile"}');
            insert into ecommerce.users (tenant_id, id, person_id, email, password_hash, first_name, last_name)
            values (v_tenant, j, v_person, 'm4rk3r-' || i || '-' || j || '@example.com', 'm4rk3r-hash', 'm4rk3r-first', 'm4rk3r-last');
            insert into ecommerce.addresses (tenant_id, id, user_id, address_type, street_line1, city, country)
            values (v_tenant, j, j, 'shipping', 'm4rk3r-street', 'm4rk3r-city', 'DE');
            insert into saas.users (tenant_id, id, person_id, email) values (v_tenant, v_person, v_person, 'm4rk3r-' || j || '@example.com');
            insert into saas.projects (tenant_id, id, name, created_by) values (v_tenant, v_person, 'Project', v_person);
            insert into ecommerce.categories (tenant_id, id, name, slug, path) values (v_tenant, j, 'Music', 'music-' || j, public.text2ltree('music_' || j));
            insert into ecommerce.products (tenant_id, id, name, base_price, sku, category_id) values (v_tenant, j, 'CD', 10, 'sku-' || j, j);
            insert into ecommerce.product_variants (tenant_id, id, product_id, sku) values (v_tenant, j, j, 'sku-' || j);
            insert into ecommerce.carts (tenant_id, id, user_id) values (v_tenant, j, j);
            insert into ecommerce.cart_items (tenant_id, cart_id, variant_id, quantity) values (v_tenant, j, j, 1);
            insert into ecommerce.orders (tenant_id, id, user_id, subtotal, total_amount) values (v_tenant, j, j, 10, 10);
            insert into ecommerce.order_items (tenant_id, id, order_id, variant_id, quantity, unit_price, total_price)
            values (v_tenant, j, j, j, 1, 10, 10);
            insert into ecommerce.reviews (tenant_id, id, product_id, user_id, rating, title, body) values (v_tenant, j, j, j, 5, 'm4rk3r-title', 'm4rk3r-body');
            insert into ecommerce.payments (tenant_id, id, order_id, amount, currency, provider, provider_token)
            values (v_tenant, j, j, 10, 'USD', 'test', 'tok-m4rk3r');
            insert into ecommerce.inventory_movements (tenant_id, id, variant_id, order_id, quantity_change, reason)
            values (v_tenant, j, j, j, -1, 'sale');
            insert into analytics.events (time, tenant_id, event_id, user_id, event_type, origin, load_id)
            select date_trunc('day', now()) - k * interval '1 day', v_tenant, md5(v_person::text || k)::uuid, j, 'page_view', 'synthetic', v_load
            from generate_series(0, 3) as k;
            insert into analytics.events_history (time, tenant_id, event_id, user_id, event_type, origin, load_id)
            values (now() - interval '2 years', v_tenant, v_person, j, 'purchase', 'import', v_load);
        end loop;
    end loop;
end
$seed$
