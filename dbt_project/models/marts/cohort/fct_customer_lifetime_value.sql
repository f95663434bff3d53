-- One row per tenant, currency, month (UTC) of the customers' first order, and 30 days of their age as customers.
{{
    config(
        materialized='incremental',
        incremental_strategy='apply_difference',
        unique_key=['tenant_id', 'currency', 'cohort_month', 'age'],
        on_schema_change='fail',
        indexes=[
            {'columns': ['tenant_id', 'currency', 'cohort_month', 'age'], 'unique': true},
        ],
    )
}}

{#- 30 days, not a calendar month: February's customers are compared with March's after equally long. -#}
{%- set age_days = 30 %}

-- What a customer is worth after equally long, whenever in its month the first order was: ages count from the
-- customer's own first order, so that cohorts can be compared. fct_revenue_cohorts has the months of the calendar.
with orders as (
    select
        *,
        date_trunc('month', first_ordered_at at time zone 'UTC')::date as cohort_month,
        floor(date_part('epoch', ordered_at - first_ordered_at) / ({{ age_days }} * 86400))::int as age
    from {{ ref('int_customer_orders') }}
    where stands
),

tenant_ends as (
    select
        tenant_id,
        -- Data are there up to the end of the last day with an order, and no age is over before its end.
        least(
            ((max(ordered_at) at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC', {{ as_of() }}
        ) as data_end,
        max(ordered_at) as last_ordered_at
    from {{ ref('int_customer_orders') }}
    group by tenant_id
),

customers as (
    select distinct tenant_id, currency, user_id, cohort_month, first_ordered_at
    from orders
),

cohorts as (
    select
        c.tenant_id,
        c.currency,
        c.cohort_month,
        count(*) as customers,
        min(c.first_ordered_at) as oldest,
        array_agg(c.first_ordered_at order by c.first_ordered_at) as starts
    from customers as c
    group by c.tenant_id, c.currency, c.cohort_month
),

grid as (
    select
        c.tenant_id,
        c.currency,
        c.cohort_month,
        a.age,
        c.customers,
        -- Those who have had all of this age: their first order lies so many days before the data's end.
        width_bucket(e.data_end - (a.age + 1) * interval '{{ age_days }} days', c.starts) as customers_observed
    from cohorts as c
    inner join tenant_ends as e on c.tenant_id = e.tenant_id
    cross join lateral generate_series(
        0, floor(date_part('epoch', e.last_ordered_at - c.oldest) / ({{ age_days }} * 86400))::int
    ) as a (age)
),

ages as (
    select
        tenant_id,
        currency,
        cohort_month,
        age,
        count(distinct user_id) as active_customers,
        count(*) as orders,
        sum(total_amount) as revenue
    from orders
    group by tenant_id, currency, cohort_month, age
)

select
    g.tenant_id,
    g.currency,
    g.cohort_month,
    g.age,
    g.customers,
    g.customers_observed::bigint as customers_observed,
    coalesce(a.active_customers, 0) as active_customers,
    (sum(coalesce(a.orders, 0)) over so_far / g.customers)::numeric(18, 6) as orders_per_customer,
    (coalesce(a.revenue, 0) / g.customers)::numeric(18, 6) as revenue_per_customer,
    (sum(coalesce(a.revenue, 0)) over so_far / g.customers)::numeric(18, 6) as lifetime_value,
    (sum(coalesce(a.revenue, 0)) over so_far)::numeric(16, 2) as cumulative_revenue,
    g.customers_observed = g.customers as is_complete
from grid as g
left join ages as a
    on g.tenant_id = a.tenant_id
        and g.currency = a.currency
        and g.cohort_month = a.cohort_month
        and g.age = a.age
window so_far as (partition by g.tenant_id, g.currency, g.cohort_month order by g.age)
