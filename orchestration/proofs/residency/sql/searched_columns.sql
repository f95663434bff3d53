-- What of this database a search for people reads: every relation with rows of its own, whoever made it, and of its
-- columns those that can hold an id; the catalog's own relations too, as far as this role may read them. Chunks are read through their hypertable, TOAST through its table. Temporary tables
-- of other sessions can be read by nobody else and end with them.
select
    c.oid,
    n.nspname || '.' || c.relname as name,
    n.nspname as schema_name,
    c.relname as relation_name,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
    coalesce(
        jsonb_agg(
            jsonb_build_array(
                a.attname,
                case
                    when t.typname = 'uuid' then 'uuid'
                    when t.typcategory = 'S' then 'text'
                    when t.typname in ('json', 'jsonb') then 'json'
                    else 'other'
                end,
                -- Where the addresses of this cell's own people belong: by name, and by the comment, which
                -- `personal_columns_are_said` holds to the declaration.
                a.attname = 'email' and coalesce(col_description(c.oid, a.attnum) ~ '\(personal: direct\)$', false)
            )
            order by a.attnum
        ) filter (
            where a.attnum is not null
                -- Numbers, times and truth values hold no id, nor do lists of them.
                and coalesce(e.typcategory, t.typcategory) not in ('N', 'D', 'T', 'B')
                -- Expressions are read as they are written, in catalog_texts.sql.
                and t.typname not in ('pg_node_tree', 'aclitem', '_aclitem')
                and t.typname not in ('oid', 'xid', 'cid', 'tid', 'regclass', 'regproc', 'regtype', 'regrole', '"char"')
        ),
        '[]'
    ) as columns
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
left join pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
left join pg_type as t on a.atttypid = t.oid
left join pg_type as e on t.typelem = e.oid and t.typcategory = 'A'
where c.relkind in ('r', 'm')
    and (
        c.oid >= 16384
        or n.nspname = 'pg_catalog'
        and has_table_privilege(c.oid, 'select')
        -- Samples of the values of other relations, which are read themselves; large objects, which a rule forbids; and
        -- what catalog_texts.sql reads, or reads in the form that people write it in.
        and c.relname not in (
            'pg_statistic', 'pg_statistic_ext_data', 'pg_largeobject', 'pg_description', 'pg_shdescription',
            'pg_seclabel', 'pg_class', 'pg_attribute', 'pg_namespace', 'pg_authid', 'pg_database', 'pg_proc', 'pg_enum',
            'pg_db_role_setting'
        )
    )
    and n.nspname !~ '^pg_(toast|temp)'
    and not exists (
        select from _timescaledb_catalog.chunk as k
        inner join _timescaledb_catalog.hypertable as h on k.hypertable_id = h.id
        where k.schema_name = n.nspname and k.table_name = c.relname and not k.dropped
    )
group by c.oid, n.nspname, n.oid, c.relname
order by pg_relation_size(c.oid) desc, n.nspname, c.relname
