-- One row per tenant with events: the first and last day (UTC) that has one.
{{ config(materialized='table', indexes=[{'columns': ['tenant_id'], 'unique': true}]) }}

with live as (
    -- Retention drops whole days. What lies before the oldest one is gone for good; an emptied day is not.
    select min(range_start at time zone 'UTC')::date as first_day
    from timescaledb_information.chunks
    where hypertable_schema = 'analytics' and hypertable_name = 'events'
)

select
    e.tenant_id,
    (min(e.occurred_at) at time zone 'UTC')::date as first_day,
    (max(e.occurred_at) at time zone 'UTC')::date as last_day,
    least((min(e.occurred_at) at time zone 'UTC')::date, min(l.first_day)) as retained_from,
    count(*) as events
from {{ ref('stg_events') }} as e
cross join live as l
group by e.tenant_id
