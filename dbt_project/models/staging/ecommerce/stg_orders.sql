-- One row per order of a tenant.
select
    tenant_id,
    id as order_id,
    user_id,
    status as order_status,
    currency,
    subtotal,
    tax_amount,
    shipping_amount,
    total_amount,
    created_at as ordered_at,
    origin
from {{ source('ecommerce', 'orders') }}
