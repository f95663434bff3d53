-- One row per tenant with events: the first and last day (UTC) that has one.
{{ config(materialized='table', indexes=[{'columns': ['tenant_id'], 'unique': true}]) }}

select
    tenant_id,
    (min(occurred_at) at time zone 'UTC')::date as first_day,
    (max(occurred_at) at time zone 'UTC')::date as last_day,
    count(*) as events
from {{ ref('stg_events') }}
group by tenant_id
