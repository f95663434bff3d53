-- One row per category of a tenant.
select
    tenant_id,
    id as category_id,
    name as category_name,
    parent_id as parent_category_id,
    slug,
    path::text as category_path
from {{ source('ecommerce', 'categories') }}
