-- The comment of a personal column ends with its declared class, and no other column's says that it is personal. Left out
-- is what dbt makes: its comments are the project's own descriptions, renewed by the run that this would keep from running;
-- and the schemas of one tenant, which get the shared ones' comments when they are migrated.
with said as (
    select
        a.name,
        t.attname,
        (regexp_match(col_description(a.oid, t.attnum), '\(personal: ([a-z]+)\)$'))[1] as class
    from actual as a
    inner join pg_attribute as t on a.oid = t.attrelid and t.attnum > 0 and not t.attisdropped
)

select
    s.name || '.' || s.attname || ' ('
    || coalesce('declared ' || (d.classes ->> s.attname), 'not declared') || ', '
    || coalesce('said to be ' || s.class, 'not said') || ')' as object,
    1 as offenders
from said as s
inner join declared as d on s.name = d.name
where not d.optional and d.name !~ '^t_[0-9a-f]{32}_' and d.classes ->> s.attname is distinct from s.class

union all
select d.name || '.' || c.column_name || ' (declared ' || c.class || ', no such column)', 1
from declared as d
inner join actual as a on d.name = a.name
cross join lateral jsonb_each_text(d.classes) as c (column_name, class)
where not exists (select from said as s where s.name = d.name and s.attname = c.column_name);
