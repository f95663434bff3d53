-- The declared relations that exist, with what an attack needs to know of them.
select
    d.name,
    -- A column that may be written and is not the tenant's: the first of the table.
    (
        select t.attname
        from pg_attribute as t
        where t.attrelid = c.oid
            and t.attnum > 0
            and not t.attisdropped
            and t.attgenerated = ''
            and t.attname is distinct from d.tenant_column
        order by t.attnum
        limit 1
    ) as column_name,
    -- Where the tenant column is generated, the column that it is generated from.
    coalesce(
        (
            select s.attname
            from pg_attribute as t
            inner join pg_attrdef as e on t.attrelid = e.adrelid and t.attnum = e.adnum
            inner join pg_depend as x
                on x.classid = 'pg_attrdef'::regclass and e.oid = x.objid and e.adrelid = x.refobjid
            inner join pg_attribute as s on x.refobjid = s.attrelid and x.refobjsubid = s.attnum
            where t.attrelid = c.oid
                and t.attname = d.tenant_column
                and t.attgenerated <> ''
                and s.attnum <> t.attnum
            limit 1
        ),
        d.tenant_column
    ) as tenant_source,
    greatest(c.reltuples, 0)::bigint
    + coalesce(
        (
            select sum(greatest(k.reltuples, 0))
            from pg_inherits as i
            inner join pg_class as k on i.inhrelid = k.oid
            where i.inhparent = c.oid
        ),
        0
    )::bigint as estimated_rows
from jsonb_to_recordset(%(relations)s::jsonb) as d (name text, tenant_column text)
inner join pg_class as c on c.oid = to_regclass(d.name)
