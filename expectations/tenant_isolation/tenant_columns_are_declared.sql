-- A tenant's rows in a relation that is not declared a tenant's. The platform's own relations of the dbt layers that
-- no tenant enters may be declared internal.
select a.name as object, 1 as offenders
from actual as a
inner join pg_attribute as t on a.oid = t.attrelid
where t.attname = 'tenant_id'
    and t.attnum > 0
    and not t.attisdropped
    and not exists (
        select from declared as d
        where d.name = a.name
            and (
                d.kind = 'tenant'
                or (
                    d.kind = 'internal'
                    and not exists (
                        select from serving as s
                        where has_schema_privilege(s.oid, a.schema_name, 'usage')
                            or has_any_column_privilege(s.oid, a.oid, 'select, insert, update, references')
                            or has_table_privilege(s.oid, a.oid, 'delete, truncate, trigger')
                    )
                )
            )
    );
