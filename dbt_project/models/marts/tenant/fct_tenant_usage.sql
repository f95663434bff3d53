-- One row per tenant and month (UTC): the running month of every tenant, and each month in which it used the service.
{{ config(indexes=[{'columns': ['tenant_id', 'month'], 'unique': true}]) }}

{#- What has rows of tenants and its size: those of a tenant take their share of the relation's storage. -#}
{%- set stored = [
    source('saas', 'users'), source('saas', 'projects'), source('ecommerce', 'users'),
    source('ecommerce', 'categories'), source('ecommerce', 'products'), source('ecommerce', 'product_variants'),
    source('ecommerce', 'orders'), source('ecommerce', 'order_items')
] -%}

with kept_events as (
    select
        tenant_id,
        is_history,
        date_trunc('month', day)::date as month,
        sum(events)::bigint as events
    from {{ ref('int_tenant_days') }}
    group by tenant_id, is_history, date_trunc('month', day)::date
),

held as (
    {% for relation in stored -%}
    select
        tenant_id,
        count(*) as row_count,
        count(*) / sum(count(*)) over () * pg_total_relation_size('{{ relation }}') as bytes
    from {{ relation }}
    group by tenant_id

    union all
    {% endfor -%}
    select
        tenant_id,
        sum(events)::bigint,
        sum(events) / sum(sum(events)) over () * coalesce(hypertable_size('{{ source('analytics', 'events') }}'), 0)
    from kept_events
    where not is_history
    group by tenant_id

    union all
    select
        tenant_id,
        sum(events)::bigint,
        sum(events) / sum(sum(events)) over () * pg_total_relation_size('{{ source('analytics', 'events_history') }}')
    from kept_events
    where is_history
    group by tenant_id
),

holdings as (
    select
        tenant_id,
        date_trunc('month', {{ as_of() }} at time zone 'UTC')::date as month,
        sum(row_count)::bigint as row_count,
        sum(bytes)::bigint as storage_bytes
    from held
    group by tenant_id
),

requests as (
    select
        tenant_id,
        date_trunc('month', hour at time zone 'UTC')::date as month,
        sum(requests)::bigint as requests,
        sum(failures)::bigint as failures,
        sum(refusals)::bigint as refusals,
        sum(queries)::bigint as queries,
        sum(busy_us)::bigint as busy_us,
        max(max_us) as max_us
    from {{ ref('stg_request_hours') }}
    group by tenant_id, date_trunc('month', hour at time zone 'UTC')::date
),

latencies as (
    select
        h.tenant_id,
        date_trunc('month', h.hour at time zone 'UTC')::date as month,
        l.place,
        sum(sum(l.requests)) over place_and_below as up_to,
        sum(sum(l.requests)) over whole as total
    from {{ ref('stg_request_hours') }} as h
    cross join lateral unnest(h.latencies) with ordinality as l (requests, place)
    group by h.tenant_id, date_trunc('month', h.hour at time zone 'UTC')::date, l.place
    window
        whole as (partition by h.tenant_id, date_trunc('month', h.hour at time zone 'UTC')::date),
        place_and_below as (
            partition by h.tenant_id, date_trunc('month', h.hour at time zone 'UTC')::date order by l.place
        )
),

percentiles as (
    select
        tenant_id,
        month,
        (2 ^ (min(place) filter (where up_to >= 0.5 * total) - 1))::integer as latency_p50_ms,
        (2 ^ (min(place) filter (where up_to >= 0.99 * total) - 1))::integer as latency_p99_ms
    from latencies
    where total > 0
    group by tenant_id, month
),

months as (
    select tenant_id, date_trunc('month', {{ as_of() }} at time zone 'UTC')::date as month
    from {{ ref('stg_tenants') }}
    union
    select tenant_id, month
    from kept_events
    where not is_history
    union
    select tenant_id, month
    from {{ ref('stg_live_event_months') }}
    union
    select tenant_id, month
    from requests
)

select
    m.tenant_id,
    m.month,
    t.plan_id,
    coalesce(l.events, 0) as live_events,
    p.max_events_per_month,
    coalesce(e.events, 0) as kept_events,
    h.row_count,
    h.storage_bytes,
    coalesce(r.requests, 0) as requests,
    coalesce(r.failures, 0) as failures,
    coalesce(r.refusals, 0) as refusals,
    coalesce(r.queries, 0) as queries,
    (coalesce(r.busy_us, 0) / 1000000.0)::numeric(16, 3) as busy_seconds,
    q.latency_p50_ms,
    q.latency_p99_ms,
    (r.max_us / 1000.0)::numeric(16, 3) as latency_max_ms
from months as m
inner join {{ ref('stg_tenants') }} as t on m.tenant_id = t.tenant_id
inner join {{ ref('stg_plans') }} as p on t.plan_id = p.plan_id
left join {{ ref('stg_live_event_months') }} as l on m.tenant_id = l.tenant_id and m.month = l.month
left join kept_events as e on m.tenant_id = e.tenant_id and m.month = e.month and not e.is_history
left join holdings as h on m.tenant_id = h.tenant_id and m.month = h.month
left join requests as r on m.tenant_id = r.tenant_id and m.month = r.month
left join percentiles as q on m.tenant_id = q.tenant_id and m.month = q.month
