-- One row per item of an order.
select
    tenant_id,
    id as order_item_id,
    order_id,
    variant_id,
    quantity,
    unit_price,
    total_price
from {{ source('ecommerce', 'order_items') }}
