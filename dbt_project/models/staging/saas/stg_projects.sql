-- One row per project.
select
    tenant_id,
    id as project_id,
    name as project_name,
    created_by as staff_id,
    created_at
from {{ source('saas', 'projects') }}
