-- The first shopper of a merchant, and its first member of staff, become one person, with a mark in every personal value.
do $person$
declare
    v_tenant uuid := current_setting('life.tenant')::uuid;
    v_person uuid := current_setting('life.person')::uuid;
    v_mark text := current_setting('life.mark');
    v_region text := current_setting('life.region');
begin
    insert into geo.users (id, email, region, profile)
    values (v_person, v_mark || '@example.com', v_region, jsonb_build_object('about', v_mark, '$..[?(@)]', '''; drop table x; --'))
    on conflict do nothing;
    if v_region = 'eu' then
        insert into geo.eu_user_data (user_id, sensitive_data) values (v_person, jsonb_build_object('iban', v_mark))
        on conflict do nothing;
    end if;
    update ecommerce.users
    set person_id = v_person, email = v_mark || '@example.com', password_hash = 'hash ' || v_mark,
        first_name = '=' || v_mark || '()', last_name = 'O''' || v_mark || '; -- '
    where tenant_id = v_tenant and id = 1;
    update ecommerce.addresses set street_line1 = v_mark, city = v_mark, state = 'CA', postal_code = v_mark
    where tenant_id = v_tenant and user_id = 1;
    update ecommerce.reviews set title = v_mark, body = v_mark, rating = 4 where tenant_id = v_tenant and user_id = 1;
    update ecommerce.payments set provider_token = 'tok-' || v_mark, card_brand = 'visa', card_last4 = '4242'
    where tenant_id = v_tenant and order_id = 1000000001;
    update saas.users set person_id = v_person, email = v_mark || '@example.com'
    where tenant_id = v_tenant and id = md5(v_tenant::text || 1)::uuid;
    delete from geo.users where id = md5(v_tenant::text || 1)::uuid;
end
$person$;
