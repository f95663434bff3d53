-- Revenue of the mart, per tenant and currency, is the orders' total, to the cent.
{{ config(meta={'dagster': {'ref': {'name': 'fct_daily_revenue'}}}) }}

with mart as (
    select tenant_id, currency, sum(gross_revenue) as revenue, sum(orders) as orders
    from {{ ref('fct_daily_revenue') }}
    group by tenant_id, currency
),

orders as (
    select tenant_id, currency, sum(total_amount) as revenue, count(*) as orders
    from {{ ref('stg_orders') }}
    group by tenant_id, currency
)

select coalesce(m.tenant_id, o.tenant_id) as tenant_id, m.revenue as in_mart, o.revenue as in_orders
from mart as m
full join orders as o on m.tenant_id = o.tenant_id and m.currency = o.currency
where (m.revenue, m.orders) is distinct from (o.revenue, o.orders)
