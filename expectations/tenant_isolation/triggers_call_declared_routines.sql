-- A trigger runs inside the writes of others, a bulk load's too. Its function has to be one of a migration (whose text
-- routines_are_declared compares) or of the extension that made the table.
select t.tgrelid::regclass::text || ' (trigger ' || t.tgname || ')' as object, 1 as offenders
from pg_trigger as t
inner join actual as a on t.tgrelid = a.oid
where not t.tgisinternal
    and not exists (
        select from routines as r
        inner join declared_routines as d on r.declared_name = d.name
        where r.oid = t.tgfoid
    )
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = t.tgfoid and d.deptype = 'e'
    );
