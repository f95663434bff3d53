select a.name || ' (' || s.rolname || ')' as object, 1 as offenders
from declared as d
inner join actual as a on d.name = a.name
cross join serving as s
where d.kind = 'person'
    and (
        has_any_column_privilege(s.oid, a.oid, 'select, insert, update, references')
        or has_table_privilege(s.oid, a.oid, 'delete, truncate, trigger')
    );
