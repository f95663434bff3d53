-- One row per tenant.
select
    id as tenant_id,
    name as tenant_name,
    subdomain,
    plan as plan_id,
    status as tenant_status,
    created_at
from {{ source('saas', 'tenants') }}
