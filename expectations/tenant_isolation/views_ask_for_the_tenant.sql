-- The attacks compare what a view shows of the rows that are there now. Its text has to hold for those of tomorrow: one
-- relation, and the tenant's predicate as its whole condition.
with views as (
    select
        a.name,
        pg_get_viewdef(a.oid) as definition,
        format('.%s = ( SELECT platform.current_tenant() AS current_tenant));', d.tenant_column) as predicate
    from actual as a
    inner join declared as d on a.name = d.name
    where a.relkind = 'view'
        and d.kind = 'tenant'
        and exists (select from serving as s where has_any_column_privilege(s.oid, a.oid, 'select'))
)

select v.name as object, 1 as offenders
from views as v
where right(v.definition, length(v.predicate)) <> v.predicate
    -- Before it stand the one relation, its alias, and nothing else.
    or left(v.definition, -length(v.predicate)) !~ '^\s*SELECT [^;()]*\s+FROM [a-z_]+\.[a-z_]+ (\w+)\s+WHERE \(\1$'
    or v.definition ~* '\m(union|join|lateral)\M';
