-- A merchant with a row in every relation of tenants. Its personal values carry a token.
do $merchant$
declare
    v_tenant uuid := current_setting('life.tenant')::uuid;
    v_token text := current_setting('life.token');
    v_region text := current_setting('life.region');
    v_person uuid;
begin
    insert into saas.plans (plan, name, monthly_price) values ('free', 'Free', 0) on conflict do nothing;
    insert into saas.tenants (id, name, subdomain, plan)
    values (v_tenant, 'Shop ' || v_token, 's' || left(replace(v_tenant::text, '-', ''), 20), 'free') on conflict do nothing;
    insert into ecommerce.store_settings (tenant_id) values (v_tenant) on conflict do nothing;
    insert into ecommerce.categories (tenant_id, id, name, slug) values (v_tenant, 5, 'Music', 'music');
    insert into ecommerce.categories (tenant_id, id, name, slug, parent_id) values (v_tenant, 2, 'Discs', 'compact-discs', 5);
    insert into ecommerce.categories (tenant_id, id, name, slug, parent_id) values (v_tenant, 9, 'Jazz', 'jazz', 2);
    for j in 1..2 loop
        v_person := md5(v_tenant::text || j)::uuid;
        insert into geo.users (id, email, region, profile)
        values (v_person, v_token || j || '@example.com', v_region, jsonb_build_object('note', v_token));
        if v_region = 'eu' then
            insert into geo.eu_user_data (user_id, sensitive_data) values (v_person, jsonb_build_object('card', v_token));
        end if;
        insert into ecommerce.users (tenant_id, id, person_id, email, password_hash, first_name)
        values (v_tenant, j, v_person, v_token || j || '@example.com', '!', v_token);
        insert into ecommerce.addresses (tenant_id, id, user_id, address_type, street_line1, city, country)
        values (v_tenant, j, j, 'shipping', v_token || ' street', 'Town', 'US');
        insert into saas.users (tenant_id, id, person_id, email) values (v_tenant, v_person, v_person, v_token || j || '@example.com');
        insert into saas.projects (tenant_id, id, name, created_by) values (v_tenant, v_person, 'Project ' || j, v_person);
        insert into ecommerce.products (tenant_id, id, name, base_price, sku, category_id) values (v_tenant, j, 'CD', 10, 'sku-' || j, 9);
        insert into ecommerce.product_variants (tenant_id, id, product_id, sku, attributes)
        values (v_tenant, j, j, 'sku-' || j, '{"color": "blue"}');
        insert into ecommerce.carts (tenant_id, id, user_id) values (v_tenant, j, j);
        insert into ecommerce.cart_items (tenant_id, cart_id, variant_id, quantity) values (v_tenant, j, j, 1);
        insert into ecommerce.orders (tenant_id, id, user_id, shipping_address_id, subtotal, total_amount)
        values (v_tenant, 1000000000 + j, j, j, 10, 10);
        insert into ecommerce.order_items (tenant_id, id, order_id, variant_id, quantity, unit_price, total_price)
        values (v_tenant, j, 1000000000 + j, j, 1, 10, 10);
        insert into ecommerce.reviews (tenant_id, id, product_id, user_id, rating, body) values (v_tenant, j, j, j, 5, v_token);
        insert into ecommerce.payments (tenant_id, id, order_id, amount, currency, provider, provider_token)
        values (v_tenant, j, 1000000000 + j, 10, 'USD', 'test', v_token || j);
        insert into ecommerce.inventory_movements (tenant_id, id, variant_id, quantity_change, reason)
        values (v_tenant, j, j, 1, 'restock');
    end loop;
end
$merchant$;
-- shared --
do $events$
declare
    v_tenant uuid := current_setting('life.tenant')::uuid;
    v_token text := current_setting('life.token');
begin
    insert into analytics.events (time, tenant_id, event_id, user_id, event_type, page_url, properties, origin, load_id)
    select
        date_trunc('day', now()) - k * interval '3 days', v_tenant, gen_random_uuid(), 1 + k % 2, 'page_view',
        'https://example.com/' || v_token, jsonb_build_object('q', v_token), 'stream', md5('load')::uuid
    from generate_series(0, 19) as k;
    insert into analytics.events_history (time, tenant_id, event_id, user_id, event_type, page_url, origin, load_id)
    values (now() - interval '2 years', v_tenant, gen_random_uuid(), 1, 'purchase', v_token, 'import', md5('old')::uuid);
    call analytics.refresh_rollups(p_to => 'infinity', p_tenant => v_tenant);
end
$events$;
