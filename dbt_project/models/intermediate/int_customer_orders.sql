-- One row per order: whether it stands, and when its customer first placed one in its currency that does.
select
    tenant_id,
    order_id,
    user_id,
    currency,
    ordered_at,
    total_amount,
    order_status not in ('cancelled', 'refunded') as stands,
    min(ordered_at) filter (where order_status not in ('cancelled', 'refunded'))
        over (partition by tenant_id, currency, user_id) as first_ordered_at
from {{ ref('stg_orders') }}
