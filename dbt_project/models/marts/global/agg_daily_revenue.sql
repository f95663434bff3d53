-- One row per settled day (UTC) and currency, small currencies together as `other`.
{{ config(indexes=[{'columns': ['day', 'currency'], 'unique': true}]) }}

select
    '{{ target.name }}'::text as region,
    g.closes_on,
    g.day,
    g.currency,
    g.persons,
    g.orders,
    g.revenue
from {{ published_revenue(ref('int_revenue_contributions'), disclosure_rule()) }} as g
