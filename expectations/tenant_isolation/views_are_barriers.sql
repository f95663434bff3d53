-- A view runs as its owner. Without security_barrier a caller's function sees rows before the tenant predicate drops
-- them; an owner who can log in, or a materialized view (it has no row security), is a way around everything else.
select
    a.name || ' (' || case
        when a.relkind <> 'view' then a.relkind
        when o.rolcanlogin or o.rolsuper then 'owned by a login'
        else 'no security_barrier'
    end || ')' as object,
    1 as offenders
from actual as a
inner join pg_roles as o on a.relowner = o.oid
where a.relkind in ('view', 'materialized view', 'foreign table')
    and exists (
        select from serving as s
        where has_any_column_privilege(s.oid, a.oid, 'select, insert, update')
            or has_table_privilege(s.oid, a.oid, 'delete')
    )
    and (
        a.relkind <> 'view'
        or o.rolcanlogin
        or o.rolsuper
        or not coalesce(
            (
                select bool_or(x.option_value::boolean)
                from pg_options_to_table(a.reloptions) as x
                where x.option_name = 'security_barrier'
            ),
            false
        )
    );
