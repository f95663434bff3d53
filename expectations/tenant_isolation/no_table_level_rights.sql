-- Row security covers neither TRUNCATE nor the look through a foreign key (REFERENCES), and a trigger runs as whoever
-- fires it.
select a.name || ' (' || p.privilege || ' by ' || s.rolname || ')' as object, 1 as offenders
from actual as a
cross join serving as s
cross join (values ('truncate'), ('references'), ('trigger')) as p (privilege)
where has_table_privilege(s.oid, a.oid, p.privilege)
    or (p.privilege = 'references' and has_any_column_privilege(s.oid, a.oid, 'references'));
