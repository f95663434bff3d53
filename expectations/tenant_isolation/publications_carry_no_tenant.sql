-- A publication sends rows as its owner sees them, to wherever a subscriber sits.
select t.pubname || ' (' || t.schemaname || '.' || t.tablename || ')' as object, 1 as offenders
from pg_publication_tables as t
left join declared as d on t.schemaname || '.' || t.tablename = d.name
where d.kind is distinct from 'global' and d.kind is distinct from 'person';
