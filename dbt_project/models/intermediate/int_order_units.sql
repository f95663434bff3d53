-- One row per order that has items: how many pieces, and what they cost together.
select
    tenant_id,
    order_id,
    sum(quantity)::bigint as units,
    sum(total_price)::numeric(14, 2) as items_total
from {{ ref('stg_order_items') }}
group by tenant_id, order_id
