-- One row per variant of a product of a tenant.
select
    tenant_id,
    id as variant_id,
    product_id,
    sku,
    price_adjustment,
    inventory_count,
    low_stock_threshold
from {{ source('ecommerce', 'product_variants') }}
