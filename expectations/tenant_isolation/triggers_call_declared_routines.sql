-- A trigger runs inside the writes of others, a bulk load's too. Its function has to be one of a migration (whose text
-- routines_are_declared compares) or of the extension that made the table.
with relations as (
    select a.oid, a.name || ' (trigger ' as name
    from actual as a
    union all
    select h.oid, h.name || ' (chunk, trigger '
    from hypertables as h
    where h.part = 'chunk'
)

select r.name || t.tgname || ')' as object, count(*) as offenders
from pg_trigger as t
inner join relations as r on t.tgrelid = r.oid
where not t.tgisinternal
    and not exists (
        select from routines as f
        inner join declared_routines as d on f.declared_name = d.name
        where f.oid = t.tgfoid
    )
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = t.tgfoid and d.deptype = 'e'
    )
group by r.name, t.tgname;
