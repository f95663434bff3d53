-- Every table with a tenant's column, declared or not. The engine refuses row security on hypertables; of those
-- hypertables_are_closed demands that nobody who serves a tenant has any privilege.
select
    a.name as object,
    (not a.relrowsecurity)::integer + (not a.relforcerowsecurity)::integer as offenders
from actual as a
left join declared as d on a.name = d.name
where a.relkind in ('table', 'partitioned table', 'foreign table', 'materialized view')
    and not (a.relrowsecurity and a.relforcerowsecurity)
    and (
        d.kind in ('tenant', 'person')
        or exists (
            select from pg_attribute as t
            where t.attrelid = a.oid and t.attname = 'tenant_id' and not t.attisdropped
        )
    )
    -- What dbt keeps to itself, in schemas that no tenant's role may enter.
    and not (
        coalesce(d.kind = 'internal', false)
        and not exists (select from serving as s where has_schema_privilege(s.oid, a.schema_name, 'usage'))
    );
