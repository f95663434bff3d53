-- Places an order: locks stock, takes it, writes order, items and movements, all in the caller's transaction.
--
-- Variants are locked in the order of their ids, so that concurrent checkouts of overlapping carts wait for each other
-- instead of deadlocking. FOR NO KEY UPDATE is enough to keep stock from changing and lets foreign keys be checked.
-- SECURITY INVOKER: row security applies to everything it reads and writes. tenant_id is compared all the same, so
-- that a role that bypasses row security cannot mix tenants either.
create function ecommerce.process_checkout(
    p_user_id bigint,
    p_cart_items jsonb,  -- [{"variant_id": 1, "quantity": 2}, ...]
    p_shipping_address_id bigint,
    p_billing_address_id bigint
) returns bigint
language plpgsql volatile security invoker
set search_path = ''
as $$
declare
    v_tenant_id uuid := platform.current_tenant();
    v_settings ecommerce.store_settings;
    v_line record;
    v_variant_ids bigint[];
    v_quantities integer[];
    v_unit_prices numeric[] := '{}';
    v_subtotal numeric := 0;
    v_tax numeric;
    v_order_id bigint;
begin
    if v_tenant_id is null then
        raise exception 'checkout without a tenant: set app.current_tenant in this transaction'
            using errcode = 'insufficient_privilege';
    end if;

    if p_cart_items is null or pg_catalog.jsonb_typeof(p_cart_items) <> 'array'
        or pg_catalog.jsonb_array_length(p_cart_items) = 0 then
        raise exception 'the cart is empty: an array of {"variant_id", "quantity"} is needed'
            using errcode = 'invalid_parameter_value';
    end if;

    for v_line in
        select i.ordinality as position, i.value -> 'variant_id' as variant_id, i.value -> 'quantity' as quantity
        from pg_catalog.jsonb_array_elements(p_cart_items) with ordinality as i
    loop
        if not coalesce(
            pg_catalog.jsonb_typeof(v_line.variant_id) = 'number'
            and v_line.variant_id::numeric = pg_catalog.trunc(v_line.variant_id::numeric)
            and v_line.variant_id::numeric between 1 and 9223372036854775807,
            false
        ) then
            raise exception 'line % of the cart names no variant: variant_id is a whole number', v_line.position
                using errcode = 'invalid_parameter_value';
        end if;
        if not coalesce(
            pg_catalog.jsonb_typeof(v_line.quantity) = 'number'
            and v_line.quantity::numeric = pg_catalog.trunc(v_line.quantity::numeric)
            and v_line.quantity::numeric between 1 and 2147483647,
            false
        ) then
            raise exception 'line % of the cart has no usable quantity: a whole number from 1 is needed', v_line.position
                using errcode = 'invalid_parameter_value';
        end if;
    end loop;

    perform from ecommerce.users as u where u.tenant_id = v_tenant_id and u.id = p_user_id;
    if not found then
        raise exception 'shopper % does not exist', p_user_id using errcode = 'foreign_key_violation';
    end if;
    -- The composite foreign key keeps another tenant's address out; this keeps out another shopper's.
    if (
        select pg_catalog.count(*)
        from ecommerce.addresses as a
        where a.tenant_id = v_tenant_id and a.user_id = p_user_id
            and a.id in (p_shipping_address_id, p_billing_address_id)
    ) <> (case when p_shipping_address_id = p_billing_address_id then 1 else 2 end) then
        raise exception 'shipping address % or billing address % is not one of shopper %',
            p_shipping_address_id, p_billing_address_id, p_user_id
            using errcode = 'foreign_key_violation';
    end if;

    select s.* into v_settings from ecommerce.store_settings as s where s.tenant_id = v_tenant_id;
    if not found then
        raise exception 'the shop has no store_settings: currency, tax and shipping are unknown'
            using errcode = 'object_not_in_prerequisite_state';
    end if;

    -- A variant that is in the cart twice is one line with the sum; a sum beyond integer is refused by the cast.
    select
        pg_catalog.array_agg(m.variant_id order by m.variant_id),
        pg_catalog.array_agg(m.quantity order by m.variant_id)
    into v_variant_ids, v_quantities
    from (
        select
            (i.value ->> 'variant_id')::numeric::bigint as variant_id,
            pg_catalog.sum((i.value ->> 'quantity')::numeric)::integer as quantity
        from pg_catalog.jsonb_array_elements(p_cart_items) as i
        group by 1
    ) as m;

    perform
    from ecommerce.product_variants as v
    where v.tenant_id = v_tenant_id and v.id = any (v_variant_ids)
    order by v.id
    for no key update;

    for v_line in
        select
            w.variant_id, w.quantity, v.inventory_count, p.status, p.base_price + v.price_adjustment as unit_price,
            v.id is not null as exists
        from unnest(v_variant_ids, v_quantities) as w (variant_id, quantity)
        left join ecommerce.product_variants as v on v.tenant_id = v_tenant_id and v.id = w.variant_id
        left join ecommerce.products as p on p.tenant_id = v.tenant_id and p.id = v.product_id
        order by w.variant_id
    loop
        if not v_line.exists or v_line.status <> 'active' then
            raise exception 'variant % is not for sale', v_line.variant_id using errcode = 'foreign_key_violation';
        end if;
        if v_line.inventory_count < v_line.quantity then
            raise exception 'insufficient inventory for variant %: % wanted, % left',
                v_line.variant_id, v_line.quantity, v_line.inventory_count
                using errcode = 'check_violation';
        end if;
        if v_line.unit_price < 0 then
            raise exception 'variant % has a negative price', v_line.variant_id using errcode = 'check_violation';
        end if;
        v_unit_prices := v_unit_prices || v_line.unit_price;
        v_subtotal := v_subtotal + v_line.unit_price * v_line.quantity;
    end loop;

    -- Rounded once, on the sum: rounding per line would drift from the rate by a cent per line.
    v_tax := pg_catalog.round(v_subtotal * v_settings.tax_rate, 2);

    insert into ecommerce.orders (
        tenant_id, user_id, status, shipping_address_id, billing_address_id, currency,
        subtotal, tax_amount, shipping_amount, total_amount
    )
    values (
        v_tenant_id, p_user_id, 'processing', p_shipping_address_id, p_billing_address_id, v_settings.currency,
        v_subtotal, v_tax, v_settings.shipping_amount, v_subtotal + v_tax + v_settings.shipping_amount
    )
    returning id into v_order_id;

    insert into ecommerce.order_items (tenant_id, order_id, variant_id, quantity, unit_price, total_price)
    select v_tenant_id, v_order_id, w.variant_id, w.quantity, w.unit_price, w.unit_price * w.quantity
    from unnest(v_variant_ids, v_quantities, v_unit_prices) as w (variant_id, quantity, unit_price);

    insert into ecommerce.inventory_movements (tenant_id, variant_id, order_id, quantity_change, reason)
    select v_tenant_id, w.variant_id, v_order_id, -w.quantity, 'sale'
    from unnest(v_variant_ids, v_quantities) as w (variant_id, quantity);

    update ecommerce.product_variants as v
    set inventory_count = v.inventory_count - w.quantity
    from unnest(v_variant_ids, v_quantities) as w (variant_id, quantity)
    where v.tenant_id = v_tenant_id and v.id = w.variant_id;

    return v_order_id;
end
$$;

comment on function ecommerce.process_checkout(bigint, jsonb, bigint, bigint) is
'Places an order for the tenant of this transaction and returns its id; refuses what cannot be delivered or is not the tenant''s';

revoke all on function ecommerce.process_checkout(bigint, jsonb, bigint, bigint) from public;
grant execute on function ecommerce.process_checkout(bigint, jsonb, bigint, bigint) to app;
