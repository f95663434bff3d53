-- What replicates between cells is declared global; tenants, persons and the platform's own records stay.
select t.pubname || ' (' || t.schemaname || '.' || t.tablename || ')' as object, 1 as offenders
from pg_publication_tables as t
left join declared as d on t.schemaname || '.' || t.tablename = d.name
where d.kind is distinct from 'global'

union all
select p.pubname || ' (all tables)', 1
from pg_publication as p
where p.puballtables;
