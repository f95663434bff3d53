-- Revenue over all cohorts and months is that of all orders that stand, to the cent; by customers' age likewise.
{{ config(meta={'dagster': {'ref': {'name': 'fct_revenue_cohorts'}}}) }}

with orders as (
    select tenant_id, currency, sum(total_amount) as revenue
    from {{ ref('stg_orders') }}
    where order_status not in ('cancelled', 'refunded')
    group by tenant_id, currency
),

months as (
    select tenant_id, currency, sum(revenue) as revenue
    from {{ ref('fct_revenue_cohorts') }}
    group by tenant_id, currency
),

ages as (
    select tenant_id, currency, sum(revenue) as revenue
    from (
        select tenant_id, currency, max(cumulative_revenue) as revenue
        from {{ ref('fct_customer_lifetime_value') }}
        group by tenant_id, currency, cohort_month
    ) as cohorts
    group by tenant_id, currency
)

select o.tenant_id, o.currency, o.revenue, m.revenue as by_month, a.revenue as by_age
from orders as o
full join months as m on o.tenant_id = m.tenant_id and o.currency = m.currency
full join ages as a on o.tenant_id = a.tenant_id and o.currency = a.currency
where o.revenue is distinct from m.revenue or o.revenue is distinct from a.revenue
