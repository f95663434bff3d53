-- One row per tenant of the cell.
{{ config(indexes=[{'columns': ['tenant_id'], 'unique': true}]) }}

select
    t.tenant_id,
    t.tenant_name,
    t.subdomain,
    t.plan_id,
    p.plan_name,
    p.monthly_price,
    t.tenant_status,
    t.created_at,
    a.first_day as first_event_day,
    a.last_day as last_event_day,
    coalesce(a.events, 0) as events
from {{ ref('stg_tenants') }} as t
inner join {{ ref('stg_plans') }} as p on t.plan_id = p.plan_id
left join {{ ref('int_tenant_activity') }} as a on t.tenant_id = a.tenant_id
