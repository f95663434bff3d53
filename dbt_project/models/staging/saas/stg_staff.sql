-- One row per member of staff. Personal columns stay in the source.
select
    tenant_id,
    id as staff_id,
    role as staff_role,
    created_at
from {{ source('saas', 'users') }}
