-- The classes of sql/relations.yml, said where a reader of the database looks. Forward only: a class that changes is a
-- comment in a new file.

comment on column ecommerce.users.id is 'The shopper, within the tenant (personal: account)';
comment on column ecommerce.users.person_id is 'The person, in the same cell (personal: person)';
comment on column ecommerce.users.email is 'Login, unique within the tenant (personal: direct)';
comment on column ecommerce.users.password_hash is 'Hash of the password, never the password; an unusable value for imported shoppers (personal: direct)';
comment on column ecommerce.users.first_name is 'Given name (personal: direct)';
comment on column ecommerce.users.last_name is 'Family name (personal: direct)';

comment on column ecommerce.addresses.id is 'The address, within the tenant (personal: pseudonym)';
comment on column ecommerce.addresses.user_id is 'The shopper (personal: account)';
comment on column ecommerce.addresses.street_line1 is 'Street and number (personal: direct)';
comment on column ecommerce.addresses.street_line2 is 'Second line (personal: direct)';
comment on column ecommerce.addresses.city is 'City (personal: direct)';
comment on column ecommerce.addresses.state is 'State or province (personal: direct)';
comment on column ecommerce.addresses.postal_code is 'Postal code (personal: direct)';
comment on column ecommerce.addresses.country is 'ISO 3166 alpha-2, upper case (personal: quasi)';

comment on column ecommerce.carts.id is 'The cart, within the tenant (personal: pseudonym)';
comment on column ecommerce.carts.user_id is 'The shopper (personal: account)';

comment on column ecommerce.cart_items.cart_id is 'The cart (personal: pseudonym)';

comment on column ecommerce.orders.id is 'The order, within the tenant (personal: pseudonym)';
comment on column ecommerce.orders.user_id is 'The shopper (personal: account)';
comment on column ecommerce.orders.shipping_address_id is 'Where it goes; NULL for imported orders (personal: pseudonym)';
comment on column ecommerce.orders.billing_address_id is 'Where the bill goes; NULL for imported orders (personal: pseudonym)';

comment on column ecommerce.order_items.id is 'The item, within the tenant (personal: pseudonym)';
comment on column ecommerce.order_items.order_id is 'The order (personal: pseudonym)';

comment on column ecommerce.reviews.id is 'The review, within the tenant (personal: pseudonym)';
comment on column ecommerce.reviews.user_id is 'The shopper (personal: account)';
comment on column ecommerce.reviews.title is 'Headline (personal: direct)';
comment on column ecommerce.reviews.body is 'Text (personal: direct)';

comment on column ecommerce.payments.id is 'The payment, within the tenant (personal: pseudonym)';
comment on column ecommerce.payments.order_id is 'The order (personal: pseudonym)';
comment on column ecommerce.payments.provider_token is 'The provider''s reference; never a card number (personal: direct)';
comment on column ecommerce.payments.card_brand is 'Brand, as a receipt shows it (personal: quasi)';
comment on column ecommerce.payments.card_last4 is 'Last four digits, as a receipt shows them (personal: direct)';

comment on column ecommerce.inventory_movements.order_id is 'The order that caused it, if one did (personal: pseudonym)';
