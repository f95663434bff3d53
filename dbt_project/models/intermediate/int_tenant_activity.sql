-- One row per tenant with events: the first and last day (UTC) that has one.
{{ config(materialized='table', indexes=[{'columns': ['tenant_id'], 'unique': true}]) }}

with live as (
    -- Retention drops whole days. What lies before the oldest one is gone for good; an emptied day is not.
    select min(range_start at time zone 'UTC')::date as first_day
    from timescaledb_information.chunks
    where hypertable_schema = 'analytics' and hypertable_name = 'events'
)

select
    d.tenant_id,
    min(d.day) as first_day,
    max(d.day) as last_day,
    least(min(d.day), min(l.first_day)) as retained_from,
    sum(d.events)::bigint as events
from {{ ref('int_tenant_days') }} as d
cross join live as l
where d.is_history or d.day >= l.first_day
group by d.tenant_id
