-- One row per plan.
select
    plan as plan_id,
    name as plan_name,
    monthly_price,
    max_users,
    max_projects,
    max_events_per_month
from {{ source('saas', 'plans') }}
