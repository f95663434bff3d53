-- One row per tenant, currency, month (UTC) of the customers' first order, and calendar months since.
{{
    config(
        materialized='incremental',
        incremental_strategy='apply_difference',
        unique_key=['tenant_id', 'currency', 'cohort_month', 'month_offset'],
        on_schema_change='fail',
        indexes=[
            {'columns': ['tenant_id', 'currency', 'cohort_month', 'month_offset'], 'unique': true},
        ],
    )
}}

-- When the cohort's money came in: months of the calendar, so that a month's revenue adds up over its cohorts.
with orders as (
    select
        *,
        date_trunc('month', first_ordered_at at time zone 'UTC')::date as cohort_month,
        {{ period_number('month', "(ordered_at at time zone 'UTC')::date") }}
        - {{ period_number('month', "(first_ordered_at at time zone 'UTC')::date") }} as month_offset
    from {{ ref('int_customer_orders') }}
),

tenant_months as (
    select
        tenant_id,
        date_trunc('month', max(ordered_at) at time zone 'UTC')::date as last_month,
        -- Data are there up to the end of the last day with an order, and no month is over before its end.
        least(
            ((max(ordered_at) at time zone 'UTC')::date + 1)::timestamp at time zone 'UTC', {{ as_of() }}
        ) as data_end
    from orders
    group by tenant_id
),

cohorts as (
    select tenant_id, currency, cohort_month, count(distinct user_id) as customers
    from orders
    where cohort_month is not null
    group by tenant_id, currency, cohort_month
),

grid as (
    select c.tenant_id, c.currency, c.cohort_month, o.month_offset, c.customers, t.data_end
    from cohorts as c
    inner join tenant_months as t on c.tenant_id = t.tenant_id
    cross join lateral generate_series(
        0, {{ period_number('month', 't.last_month') }} - {{ period_number('month', 'c.cohort_month') }}
    ) as o (month_offset)
),

months as (
    select
        tenant_id,
        currency,
        cohort_month,
        month_offset,
        count(distinct user_id) filter (where stands) as active_customers,
        count(*) filter (where stands) as orders,
        sum(total_amount) filter (where stands) as revenue,
        count(*) filter (where not stands) as cancelled_orders,
        sum(total_amount) filter (where not stands) as cancelled_revenue
    from orders
    where month_offset >= 0
    group by tenant_id, currency, cohort_month, month_offset
)

select
    g.tenant_id,
    g.currency,
    g.cohort_month,
    g.month_offset,
    g.customers,
    coalesce(m.active_customers, 0) as active_customers,
    coalesce(m.orders, 0) as orders,
    coalesce(m.revenue, 0)::numeric(16, 2) as revenue,
    (sum(coalesce(m.revenue, 0)) over so_far)::numeric(16, 2) as cumulative_revenue,
    coalesce(m.cancelled_orders, 0) as cancelled_orders,
    coalesce(m.cancelled_revenue, 0)::numeric(16, 2) as cancelled_revenue,
    (g.cohort_month + (g.month_offset + 1) * interval '1 month') at time zone 'UTC' <= g.data_end as is_complete
from grid as g
left join months as m
    on g.tenant_id = m.tenant_id
        and g.currency = m.currency
        and g.cohort_month = m.cohort_month
        and g.month_offset = m.month_offset
window so_far as (partition by g.tenant_id, g.currency, g.cohort_month order by g.month_offset)
