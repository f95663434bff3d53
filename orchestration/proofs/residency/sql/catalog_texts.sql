-- Text that is in the catalog and not in rows: names, comments, constants in definitions, settings.
with texts as (
    select 'comments' as place, d.description as content from pg_description as d
    union all
    select 'comments', d.description from pg_shdescription as d
    union all
    select 'security labels', l.label from pg_seclabel as l
    union all
    select 'names of relations', c.relname::text from pg_class as c
    union all
    select 'names of columns', a.attname::text from pg_attribute as a
    union all
    select 'names of schemas', n.nspname::text from pg_namespace as n
    union all
    select 'names of roles', r.rolname::text from pg_roles as r
    union all
    select 'names of databases', d.datname::text from pg_database as d
    union all
    select 'functions', p.prosrc from pg_proc as p
    union all
    select 'functions', pg_get_functiondef(p.oid) from pg_proc as p where p.oid >= 16384 and p.prokind in ('f', 'p')
    union all
    select 'views', pg_get_viewdef(c.oid) from pg_class as c where c.oid >= 16384 and c.relkind in ('v', 'm')
    union all
    select 'rules', pg_get_ruledef(r.oid) from pg_rewrite as r where r.oid >= 16384 and r.rulename <> '_RETURN'
    union all
    select 'bounds of partitions', pg_get_expr(c.relpartbound, c.oid) from pg_class as c where c.relpartbound is not null
    union all
    select 'statistics', pg_get_statisticsobjdef(s.oid) from pg_statistic_ext as s
    union all
    select 'column defaults', pg_get_expr(d.adbin, d.adrelid) from pg_attrdef as d
    union all
    select 'constraints', pg_get_constraintdef(k.oid) from pg_constraint as k where k.oid >= 16384
    union all
    select 'indexes', pg_get_indexdef(i.indexrelid) from pg_index as i where i.indexrelid >= 16384
    union all
    select 'policies', pg_get_expr(p.polqual, p.polrelid) from pg_policy as p
    union all
    select 'policies', pg_get_expr(p.polwithcheck, p.polrelid) from pg_policy as p
    union all
    select 'triggers', pg_get_triggerdef(t.oid) from pg_trigger as t where not t.tgisinternal
    union all
    select 'labels of enumerations', e.enumlabel::text from pg_enum as e
    union all
    select 'settings of roles', array_to_string(s.setconfig, ' ') from pg_db_role_setting as s
    union all
    select 'options of relations', array_to_string(c.reloptions, ' ') from pg_class as c where c.reloptions is not null
    union all
    select 'row filters of publications', t.rowfilter from pg_publication_tables as t
    union all
    select 'options of foreign servers', array_to_string(s.srvoptions, ' ') from pg_foreign_server as s
    union all
    select 'replication slots', s.slot_name::text from pg_replication_slots as s
    union all
    select 'prepared transactions', x.gid from pg_prepared_xacts as x
)

select x.place, x.content
from texts as x
where x.content like any(%(patterns)s)
