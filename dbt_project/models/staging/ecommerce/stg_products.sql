-- One row per product of a tenant.
select
    tenant_id,
    id as product_id,
    name as product_name,
    category_id,
    base_price,
    sku,
    status as product_status,
    created_at
from {{ source('ecommerce', 'products') }}
