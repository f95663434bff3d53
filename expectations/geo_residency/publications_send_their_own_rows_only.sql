-- A relation that several cells write says by its column origin where a row comes from; each cell publishes its own.
-- A relation that a publication takes up by its schema was never looked at by whoever made the publication.
select t.pubname || ' (' || t.schemaname || '.' || t.tablename || ')' as object, 1 as offenders
from pg_publication_tables as t
where exists (
        select
        from pg_attribute as a
        inner join pg_class as c on a.attrelid = c.oid
        inner join pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = t.schemaname and c.relname = t.tablename
            and a.attname = 'origin' and not a.attisdropped
    )
    and t.rowfilter is distinct from format('(origin = %L::text)', current_setting('proof.cell'))

union all
select p.pubname || ' (schema ' || n.nspname || ')', 1
from pg_publication_namespace as x
inner join pg_publication as p on x.pnpubid = p.oid
inner join pg_namespace as n on x.pnnspid = n.oid;
