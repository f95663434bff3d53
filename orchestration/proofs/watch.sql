-- What decides whether a cell has to be proven again, in one look.
select
    platform.catalog_digest() as digest,
    exists (select from saas.tenants) as has_tenants,
    -- Persons where people of their region may not live; the index on region answers it while there are none.
    (
        select coalesce(jsonb_object_agg(m.object, m.people), '{}')
        from (
            select 'geo.users (region ' || u.region || ')' as object, count(*) as people
            from geo.users as u
            where u.region <> all(%(allowed)s)
            group by u.region
            union all
            select
                'geo.eu_user_data' || case when u.region = 'eu' then '' else ' (region ' || u.region || ')' end,
                count(*)
            from geo.eu_user_data as e
            inner join geo.users as u on e.user_id = u.id
            where %(cell)s <> 'eu'
            group by u.region
        ) as m
    ) as misplaced,
    -- Rows written anywhere but in the platform's own records, chunks counting for themselves, and in the server's other
    -- databases: tenants' own, and whatever somebody made.
    (
        select coalesce(sum(t.n_tup_ins + t.n_tup_upd + t.n_tup_del), 0)::bigint
        from pg_stat_user_tables as t
        where t.schemaname not in ('platform', '_timescaledb_catalog', '_timescaledb_config', '_timescaledb_cache')
    )
    + (
        select coalesce(sum(d.tup_inserted + d.tup_updated + d.tup_deleted), 0)::bigint
        from pg_stat_database as d
        where d.datname <> current_database()
    ) as movement,
    p.proof_id::text as proof_id,
    p.verdict,
    p.catalog_digest as proven_digest,
    extract(epoch from clock_timestamp() - p.finished_at)::float as age_seconds,
    coalesce(
        (
            select jsonb_object_agg(o.value ->> 'object', (o.value -> 'count')::bigint)
            from jsonb_array_elements(p.offenders) as o
            where o.value ->> 'rule' = 'people_live_where_they_may'
                -- In the EU's own cell the look leaves this rule to the proof.
                or (o.value ->> 'rule' = 'eu_data_stays_in_the_eu' and %(cell)s <> 'eu')
        ),
        '{}'
    ) as proven_misplaced,
    coalesce(
        (
            select jsonb_agg(o.value ->> 'object')
            from jsonb_array_elements(p.offenders) as o
            where o.value ->> 'rule' = 'files_belong_to_a_store'
        ),
        '[]'
    ) as proven_strays
from (values (1)) as one (row)
left join lateral (
    select x.*
    from platform.proofs as x
    where x.suite = %(suite)s
    order by x.finished_at desc
    limit 1
) as p on true
