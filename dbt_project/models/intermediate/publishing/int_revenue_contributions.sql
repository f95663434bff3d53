-- One row per settled day (UTC), currency, person who ordered, and tenant where.
{{ config(materialized='table', indexes=[{'columns': ['day', 'currency']}]) }}

{%- set days_open = 1 + disclosure_rule().settlement_days %}

select
    o.tenant_id,
    (o.ordered_at at time zone 'UTC')::date + {{ days_open }} as closes_on,
    (o.ordered_at at time zone 'UTC')::date as day,
    o.currency,
    {{ contributor('o', 's') }} as contributor,
    count(*) as orders,
    sum(o.total_amount)::numeric(16, 2) as revenue
from {{ ref('stg_orders') }} as o
left join {{ ref('stg_shoppers') }} as s on o.tenant_id = s.tenant_id and o.user_id = s.user_id
where (o.ordered_at at time zone 'UTC')::date + {{ days_open }} <= {{ settled_on() }}
group by o.tenant_id, (o.ordered_at at time zone 'UTC')::date, o.currency, {{ contributor('o', 's') }}
