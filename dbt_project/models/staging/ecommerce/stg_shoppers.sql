-- One row per shopper of a tenant. Personal columns stay in the source, but for the person that counts of persons need.
select
    tenant_id,
    id as user_id,
    person_id,
    created_at
from {{ source('ecommerce', 'users') }}
