-- One row per tenant, day (UTC) and currency with orders. Amounts of different currencies are never added.
{{ config(indexes=[{'columns': ['tenant_id', 'day', 'currency'], 'unique': true}]) }}

select
    o.tenant_id,
    (o.ordered_at at time zone 'UTC')::date as day,
    o.currency,
    count(*) as orders,
    count(*) filter (where o.order_status in ('cancelled', 'refunded')) as cancelled_orders,
    coalesce(sum(u.units), 0)::bigint as units,
    sum(o.total_amount)::numeric(16, 2) as gross_revenue,
    coalesce(sum(o.total_amount) filter (where o.order_status in ('cancelled', 'refunded')), 0)::numeric(16, 2)
        as cancelled_revenue,
    sum(o.subtotal)::numeric(16, 2) as subtotal,
    sum(o.tax_amount)::numeric(16, 2) as tax_amount,
    sum(o.shipping_amount)::numeric(16, 2) as shipping_amount,
    (sum(o.total_amount) / count(*))::numeric(16, 2) as average_order_value
from {{ ref('stg_orders') }} as o
left join {{ ref('int_order_units') }} as u on o.tenant_id = u.tenant_id and o.order_id = u.order_id
group by o.tenant_id, (o.ordered_at at time zone 'UTC')::date, o.currency
