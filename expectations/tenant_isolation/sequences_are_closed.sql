-- One sequence numbers the rows of all tenants: its last value tells how many the others write, setval breaks their
-- inserts. Identity columns need no privilege on theirs.
select c.oid::regclass::text || ' (' || p.privilege || ' by ' || s.rolname || ')' as object, 1 as offenders
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join serving as s
cross join (values ('usage'), ('select'), ('update')) as p (privilege)
where c.relkind = 'S'
    and n.nspname !~ '^(pg_|_timescaledb_)'
    and has_sequence_privilege(s.oid, c.oid, p.privilege);
