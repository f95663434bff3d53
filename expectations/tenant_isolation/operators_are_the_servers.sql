-- An operator or a cast of somebody's own, found before the server's, decides what "equal" means in a query.
select o.oid::regoperator::text || ' (operator)' as object, 1 as offenders
from pg_operator as o
where o.oid >= 16384
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_operator'::regclass and d.objid = o.oid and d.deptype = 'e'
    )

union all
select c.castsource::regtype::text || ' as ' || c.casttarget::regtype::text || ' (cast)', 1
from pg_cast as c
where c.oid >= 16384
    and not exists (
        select from pg_depend as d
        where d.classid = 'pg_cast'::regclass and d.objid = c.oid and d.deptype = 'e'
    );
