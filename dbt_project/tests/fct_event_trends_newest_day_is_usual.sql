-- Warns when the newest complete day is unusual: more than half of a tenant's types, three at least, or more than one in a
-- hundred of all scores. One score in 250 is beyond the limit by chance, for small merchants whose visits are long; and one
-- long visit makes two types unusual at once, of one merchant in 250 a day.
{{ config(severity='warn', meta={'dagster': {'ref': {'name': 'fct_event_trends'}}}) }}

with newest as (
    select
        tenant_id,
        event_type,
        trend,
        count(*) filter (where trend in ('high', 'low')) over () as unusual,
        count(*) filter (where trend in ('high', 'low')) over (partition by tenant_id) as unusual_of_tenant,
        count(score) over () as scored,
        count(score) over (partition by tenant_id) as scored_of_tenant
    from {{ ref('fct_event_trends') }}
    where day = (select max(n.day) from {{ ref('fct_event_trends') }} as n)
)

select
    tenant_id,
    event_type,
    trend
from newest
where trend in ('high', 'low')
    and ((unusual_of_tenant >= 3 and unusual_of_tenant > 0.5 * scored_of_tenant) or unusual > 0.01 * scored)
