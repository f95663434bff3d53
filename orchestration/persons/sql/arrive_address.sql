insert into {addresses} (
    tenant_id, user_id, address_type, street_line1, street_line2, city, state, postal_code, country, is_default
)
select
    {tenant}, {shopper}, a.address_type, a.street_line1, a.street_line2, a.city, a.state, a.postal_code, a.country,
    a.is_default
from jsonb_populate_record(null::ecommerce.addresses, {row}::jsonb) as a
