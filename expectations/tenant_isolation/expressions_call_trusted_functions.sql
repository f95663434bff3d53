-- Defaults, generated columns, checks, index expressions and policies run inside the statements of others. What they call
-- has to be a migration's function, an extension's or the server's.
with expressions as (
    select d.refobjid as function, coalesce(e.adrelid, k.conrelid, i.indrelid, p.polrelid) as relid
    from pg_depend as d
    left join pg_attrdef as e on d.classid = 'pg_attrdef'::regclass and d.objid = e.oid
    left join pg_constraint as k on d.classid = 'pg_constraint'::regclass and d.objid = k.oid
    left join pg_index as i on d.classid = 'pg_class'::regclass and d.objid = i.indexrelid
    left join pg_policy as p on d.classid = 'pg_policy'::regclass and d.objid = p.oid
    where d.refclassid = 'pg_proc'::regclass
)

select x.relid::regclass::text || ' (' || x.function::regprocedure::text || ')' as object, count(*) as offenders
from expressions as x
inner join actual as a on x.relid = a.oid
where not exists (
        select from routines as r
        inner join declared_routines as d on r.declared_name = d.name
        where r.oid = x.function
    )
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = x.function and d.deptype = 'e'
    )
group by x.relid, x.function;
