-- What a report says of a cell beside the verdicts: versions, migrations, what was looked at. Names and counts only.
select
    current_setting('server_version') as server,
    (select e.extversion from pg_extension as e where e.extname = 'timescaledb') as timescaledb,
    current_setting('timescaledb.license') as edition,
    (
        select jsonb_object_agg(m.domain, m.migrations)
        from (
            select
                x.domain,
                jsonb_build_object(
                    'newest', max(x.name), 'count', count(*),
                    'checksum', encode(sha256(convert_to(string_agg(x.checksum, ',' order by x.name), 'UTF8')), 'hex')
                ) as migrations
            from platform.schema_migrations as x
            group by x.domain
        ) as m
    ) as migrations,
    (select count(*) from saas.tenants) as tenants,
    (select count(*) from saas.tenants as t where t.model = 'schema') as tenants_with_schemas,
    (select count(*) from saas.tenants as t where t.model = 'database') as tenants_with_a_database,
    (select count(*) from pg_policy) as policies,
    (select count(*) from pg_roles as r where r.rolname !~ '^pg_') as roles,
    (select count(*) from _timescaledb_catalog.chunk as k where not k.dropped) as chunks,
    (select count(*) from platform.catalog_facts()) as catalog_facts
