-- The schemas of one tenant are made by the migrations of the shared ones: under their names every fact of the catalog
-- about a table, its columns, keys, policies and triggers is the same, but for the check that binds its rows to it.
with facts as materialized (
    select
        f.fact,
        (regexp_match(f.fact, '^\(\w+,"?t_([0-9a-f]{32})_(?:saas|ecommerce)\.'))[1] as tenant,
        regexp_replace(f.fact, 't_[0-9a-f]{32}_(saas|ecommerce)\.', '\1.', 'g') as shared_fact
    from platform.catalog_facts() as f
    where f.fact ~ '^\((relation|column|constraint|policy|trigger),'
        -- A sequence goes with the column that it counts for.
        and f.fact !~ '^\(relation,[^,]+,S,'
        and f.fact !~ 'tenant_id = ''[0-9a-f-]{36}'''
),

shared as (
    select f.fact
    from facts as f
    inner join declared as d on (regexp_match(f.fact, '^\(\w+,"?([a-z_]+\.[a-z_0-9]+)'))[1] = d.name
    where f.tenant is null
        and d.kind = 'tenant'
        and d.relkind = 'table'
        and d.name ~ '^(saas|ecommerce)\.'
        and 'insert' = any(d.app)
),

tenants as (
    select replace(t.id::text, '-', '') as tenant
    from saas.tenants as t
    where t.model = 'schema' and t.status <> 'provisioning'
)

select 't_' || f.tenant || '_* (' || left(f.shared_fact, 80) || ')' as object, 1 as offenders
from facts as f
where f.tenant is not null
    and f.shared_fact not in (select s.fact from shared as s)

union all
select 't_' || t.tenant || '_* (lacks ' || left(s.fact, 80) || ')', 1
from tenants as t
cross join shared as s
left join facts as f on t.tenant = f.tenant and s.fact = f.shared_fact
where f.fact is null;
