-- A unique index without the tenant tells, by its error, that another tenant has the same value.
with justified (name, columns, why) as (
    values
    ('saas.tenants', 'id', 'the tenant itself; no role that serves tenants writes here'),
    ('saas.tenants', 'subdomain', 'a host name is one tenant''s in the whole cell; only the operator writes it')
),

keys as (
    select
        a.name,
        d.tenant_column,
        array_agg(coalesce(t.attname::text, 'an expression') order by c.position) as columns
    from pg_index as i
    inner join actual as a on i.indrelid = a.oid
    inner join declared as d on a.name = d.name
    cross join lateral unnest(i.indkey::smallint[]) with ordinality as c (attnum, position)
    left join pg_attribute as t on i.indrelid = t.attrelid and c.attnum = t.attnum and c.attnum > 0
    where d.kind = 'tenant'
        and (i.indisunique or i.indisexclusion)
        and c.position <= i.indnkeyatts
    group by i.indexrelid, a.name, d.tenant_column
)

select k.name || ' (' || array_to_string(k.columns, ', ') || ')' as object, count(*) as offenders
from keys as k
where k.tenant_column <> all(k.columns)
    and not exists (
        select from justified as j
        where j.name = k.name
            and j.columns = array_to_string(k.columns, ', ')
            -- The reason holds as long as it is true.
            and not exists (
                select from serving as s
                where has_table_privilege(s.oid, k.name::regclass, 'insert, update')
            )
    )
group by k.name, k.columns;
