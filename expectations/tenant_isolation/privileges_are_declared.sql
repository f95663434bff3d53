-- What a role that serves a tenant may do to a relation, directly, through PUBLIC or through a membership, is what the
-- declaration gives to app, no more and no less; no privilege on a single column.
with privileges as (
    select a.oid, a.name, coalesce(d.app, '{}') as app, p.privilege
    from actual as a
    left join declared as d on a.name = d.name
    cross join (values ('select'), ('insert'), ('update'), ('delete')) as p (privilege)
)

select p.name || ' (' || s.rolname || ')' as object, count(*) as offenders
from privileges as p
cross join serving as s
where has_table_privilege(s.oid, p.oid, p.privilege) is distinct from (p.privilege = any(p.app))
    or (
        p.privilege <> 'delete'
        and not has_table_privilege(s.oid, p.oid, p.privilege)
        and has_any_column_privilege(s.oid, p.oid, p.privilege)
    )
group by p.name, s.rolname;
