-- What a cell's server has beside the declared relations, by store.
select
    'chunks' as store,
    'tables' as unit,
    (
        select count(*)
        from pg_catalog.pg_class as c
        inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
        where n.nspname = 'analytics_chunks' and c.relkind = 'r'
    ) as found

union all
select
    'replication',
    'publications, slots and standbys',
    (select count(*) from pg_catalog.pg_publication)
    + (select count(*) from pg_catalog.pg_replication_slots)
    + (select count(*) from pg_catalog.pg_stat_replication)

union all
select 'tenant schemas', 'schemas', (select count(*) from pg_catalog.pg_namespace where nspname ~ '^t_[0-9a-f]{32}_')

union all
select
    'tenant databases',
    'databases',
    (select count(*) from saas.tenants where model = 'database' and status <> 'provisioning')
