-- A relation of another kind than declared, or without the tenant column that its declaration promises.
select
    a.name || ' (' || case
        when a.relkind <> d.relkind then a.relkind || ' instead of ' || d.relkind
        else 'no column ' || d.tenant_column || ' of type uuid'
    end || ')' as object,
    1 as offenders
from declared as d
inner join actual as a on d.name = a.name
where a.relkind <> d.relkind
    or (
        d.tenant_column is not null
        and not exists (
            select from pg_attribute as t
            where t.attrelid = a.oid
                and t.attname = d.tenant_column
                and t.atttypid = 'uuid'::regtype
                and not t.attisdropped
                -- A row without a tenant would be nobody's: a view's columns cannot say so, its tables do.
                and (t.attnotnull or a.relkind not in ('table', 'partitioned table', 'hypertable') or d.optional)
        )
    );
