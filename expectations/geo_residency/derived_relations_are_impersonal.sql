-- Whatever dbt builds lives longer and travels further than its sources. A column that is declared personal wherever
-- the sources have it must not reach a mart; on the way there, where no tenant may read, its relation declares it.
with source_columns as (
    select t.attname, bool_and(t.attname = any(coalesce(s.personal, '{}'))) as personal
    from declared as s
    inner join actual as a on s.name = a.name
    inner join pg_attribute as t on a.oid = t.attrelid
    where not s.optional and t.attnum > 0 and not t.attisdropped
    group by t.attname
)

select a.name || '.' || t.attname as object, 1 as offenders
from actual as a
inner join pg_attribute as t on a.oid = t.attrelid and t.attnum > 0 and not t.attisdropped
inner join source_columns as s on t.attname = s.attname and s.personal
left join declared as d on a.name = d.name
where a.schema_name in ('staging', 'intermediate', 'marts')
    and (
        a.schema_name = 'marts'
        or d.app <> '{}'
        or not t.attname = any(coalesce(d.personal, '{}'))
    );
