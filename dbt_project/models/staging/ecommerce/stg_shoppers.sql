-- One row per shopper of a tenant. Personal columns stay in the source.
select
    tenant_id,
    id as user_id,
    created_at
from {{ source('ecommerce', 'users') }}
