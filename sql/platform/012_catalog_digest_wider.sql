-- Every hole that is a change of the catalog changes the digest, so that it closes the gate before any proof has
-- looked: what 009 left out is added here.
set local role owner;

-- What isolation and residency rest on, one line per fact, without oids, file nodes or dates: a table that dbt
-- rebuilds with the same columns, grants and policies gives the same lines. Columns are numbered among those that
-- live. Constraints, policies' and triggers' expressions are text; index names are left out, for dbt dates them.
-- Chunks appear only where they differ from their hypertable, so a new chunk changes nothing and a grant on one does.
-- Taken in 25 ms on an empty cell (964 facts, 2 cores): cheap enough to ask at every step.
create or replace function platform.catalog_facts() returns table (fact text)
language sql stable
set search_path = pg_catalog
as $$
    with schemas as materialized (
        select n.oid, n.nspname, n.nspowner, n.nspacl
        from pg_namespace as n
        where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
            and n.nspname !~ '^_timescaledb_(catalog|cache|config|debug|functions)$'
            and n.nspname not in ('timescaledb_information', 'timescaledb_experimental')
    ),

    chunks as materialized (
        -- relowner and not a join on the hypertable's oid alone: compressed hypertables are internal relations.
        select
            c.oid as relid,
            h.schema_name || '.' || regexp_replace(h.table_name, '\d+', 'N') as hypertable,
            c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relnamespace,
            c.relacl, p.relowner as parent_owner, p.relacl as parent_acl,
            h.associated_schema_name, p.oid as parent_oid
        from _timescaledb_catalog.chunk as k
        inner join _timescaledb_catalog.hypertable as h on k.hypertable_id = h.id
        inner join pg_namespace as kn on k.schema_name = kn.nspname
        inner join pg_class as c on c.relnamespace = kn.oid and c.relname = k.table_name
        inner join pg_namespace as hn on h.schema_name = hn.nspname
        inner join pg_class as p on p.relnamespace = hn.oid and p.relname = h.table_name
        where not k.dropped
    ),

    -- TimescaleDB numbers its internal relations; the number says nothing.
    relations as materialized (
        select
            c.oid, c.relkind, c.relpersistence, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity,
            c.reloptions, pg_get_expr(c.relpartbound, c.oid) as bound,
            s.nspname,
            case c.relkind when 'S' then 's' else 'r' end::"char" as acl_type,
            s.nspname || '.' || case
                when s.nspname = '_timescaledb_internal' then regexp_replace(c.relname, '\d+', 'N')
                else c.relname
            end as name
        from pg_class as c
        inner join schemas as s on c.relnamespace = s.oid
        where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
            and not exists (select from chunks where chunks.relid = c.oid)
            and not exists (
                select from pg_depend as d
                where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
            )
    ),

    facts as (
        select row(
            'database', d.datname, d.datdba::regrole, platform.acl_text(coalesce(d.datacl, acldefault('d', d.datdba)))
        )::text as fact
        from pg_database as d
        where d.datname = current_database()

        union all
        -- Of the server's other databases, who that serves a tenant may connect, and tenants' own.
        select row(
            'database', d.datname, d.datdba::regrole, 'connect',
            (
                select string_agg(distinct case x.grantee when 0 then 'public' else x.grantee::regrole::text end, ',')
                from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as x
            )
        )::text
        from pg_database as d
        where d.datallowconn
            and d.datname <> current_database()
            and (
                d.datname ~ '^tenant_[0-9a-f]{32}$'
                or exists (
                    select
                    from aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) as x
                    left join pg_roles as r on x.grantee = r.oid
                    where r.rolname = 'app' or r.rolname ~ '^tenant_[0-9a-f]{32}$'
                )
            )

        union all
        select row(
            'schema', s.nspname, s.nspowner::regrole, platform.acl_text(coalesce(s.nspacl, acldefault('n', s.nspowner)))
        )::text
        from schemas as s

        union all
        select row(
            'relation', r.name, r.relkind, r.relpersistence, r.relowner::regrole, r.relrowsecurity,
            r.relforcerowsecurity, r.reloptions, r.bound,
            platform.acl_text(coalesce(r.relacl, acldefault(r.acl_type, r.relowner)))
        )::text
        from relations as r

        union all
        select row(
            'column', r.name,
            row_number() over (partition by a.attrelid order by a.attnum), a.attname,
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            pg_get_expr(d.adbin, d.adrelid), platform.acl_text(a.attacl)
        )::text
        from relations as r
        inner join pg_attribute as a on r.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
        left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
        where r.relkind <> 'S'

        union all
        select row('constraint', r.name, k.contype, k.convalidated, pg_get_constraintdef(k.oid))::text
        from relations as r
        inner join pg_constraint as k on r.oid = k.conrelid

        union all
        -- A unique index is an oracle unless it names the tenant, and an expression is a function that runs in every
        -- write. The name goes: dbt dates it.
        select row('index', r.name, regexp_replace(pg_get_indexdef(i.indexrelid), ' INDEX .*? ON ', ' INDEX ON '))::text
        from relations as r
        inner join pg_index as i on r.oid = i.indrelid
        where i.indisunique or i.indisexclusion or i.indexprs is not null or i.indpred is not null

        union all
        select row('statistics', r.name, x.stxname, x.stxkind, x.stxkeys, pg_get_statisticsobjdef_expressions(x.oid))::text
        from relations as r
        inner join pg_statistic_ext as x on r.oid = x.stxrelid

        union all
        select row('inherits', r.name, i.inhparent::regclass)::text
        from relations as r
        inner join pg_inherits as i on r.oid = i.inhrelid

        union all
        select row(
            'policy', r.name, p.polname, p.polcmd, p.polpermissive,
            (select string_agg(case x when 0 then 'public' else x::regrole::text end, ',' order by x::regrole::text)
             from unnest(p.polroles) as x),
            'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid)
        )::text
        from relations as r
        inner join pg_policy as p on r.oid = p.polrelid

        union all
        select row('trigger', r.name, t.tgenabled, pg_get_triggerdef(t.oid))::text
        from relations as r
        inner join pg_trigger as t on r.oid = t.tgrelid and not t.tgisinternal
        -- The trigger by which TimescaleDB notes invalidations carries a number of its own.
        where t.tgname <> 'ts_cagg_invalidation_trigger'

        union all
        -- Foreign keys are triggers too; only what differs from how they are made.
        select row('disabled', r.name, t.tgenabled, count(*))::text
        from relations as r
        inner join pg_trigger as t on r.oid = t.tgrelid
        where t.tgisinternal and t.tgenabled <> 'O'
        group by r.name, t.tgenabled

        union all
        select row('rule', r.name, u.ev_enabled, pg_get_ruledef(u.oid))::text
        from relations as r
        inner join pg_rewrite as u on r.oid = u.ev_class
        where r.nspname <> '_timescaledb_internal'

        union all
        select distinct row(
            'chunk', k.hypertable, n.nspname, k.relowner::regrole, k.relrowsecurity, k.relforcerowsecurity,
            platform.acl_text(k.relacl)
        )::text
        from chunks as k
        inner join pg_namespace as n on k.relnamespace = n.oid
        where k.relowner <> k.parent_owner
            or k.relacl is distinct from k.parent_acl
            or k.relrowsecurity or k.relforcerowsecurity
            or n.nspname <> k.associated_schema_name

        union all
        select distinct row('chunk column', k.hypertable, a.attname, platform.acl_text(a.attacl))::text
        from chunks as k
        inner join pg_attribute as a on k.relid = a.attrelid and a.attnum > 0 and not a.attisdropped
        where a.attacl is not null
            and not exists (
                select from pg_attribute as pa
                where pa.attrelid = k.parent_oid and pa.attname = a.attname
                    and platform.acl_text(pa.attacl) = platform.acl_text(a.attacl)
            )

        union all
        select row(
            'function', p.oid::regprocedure, p.prokind, p.prorettype::regtype, p.proowner::regrole,
            (select lanname from pg_language where oid = p.prolang), p.prosecdef, p.proleakproof, p.provolatile,
            p.proconfig, platform.acl_text(coalesce(p.proacl, acldefault('f', p.proowner))),
            md5(coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), ''))
        )::text
        from pg_proc as p
        inner join schemas as s on p.pronamespace = s.oid
        where not exists (
            select from pg_depend as d
            where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
        )

        union all
        -- Of the server's and the extensions' functions only who may execute them: an update may open them to PUBLIC.
        select row('execute', p.oid::regprocedure, platform.acl_text(p.proacl))::text
        from pg_proc as p
        where p.proacl is not null
            and (
                p.pronamespace = 'pg_catalog'::regnamespace
                or exists (
                    select from pg_depend as d
                    where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
                )
            )

        union all
        select row('extension', e.extname, e.extversion, e.extnamespace::regnamespace)::text
        from pg_extension as e

        union all
        select row(
            'role', r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
            r.rolreplication, r.rolbypassrls, r.rolconnlimit
        )::text
        from pg_roles as r
        where r.rolname !~ '^pg_'

        union all
        select row('member', m.member::regrole, 'of', m.roleid::regrole, m.admin_option)::text
        from pg_auth_members as m
        inner join pg_roles as r on m.member = r.oid
        where r.rolname !~ '^pg_'

        union all
        select row('setting', case x.setrole when 0 then 'all' else x.setrole::regrole::text end,
            case x.setdatabase when 0 then 'everywhere' else 'here' end,
            (select string_agg(c.item, ',' order by c.item) from unnest(x.setconfig) as c (item)))::text
        from pg_db_role_setting as x
        where x.setdatabase = 0 or x.setdatabase = (select oid from pg_database where datname = current_database())

        union all
        select row(
            'default', d.defaclrole::regrole, nullif(d.defaclnamespace, 0)::regnamespace, d.defaclobjtype,
            platform.acl_text(d.defaclacl)
        )::text
        from pg_default_acl as d

        union all
        select row(
            'publication', p.pubname, p.pubowner::regrole, p.puballtables, p.pubinsert, p.pubupdate, p.pubdelete,
            p.pubtruncate, p.pubviaroot
        )::text
        from pg_publication as p

        union all
        -- The view resolves tables published by their schema or all at once, not only those named.
        select row('published', t.pubname, t.schemaname, t.tablename, t.attnames, t.rowfilter)::text
        from pg_publication_tables as t
        inner join pg_publication as p on t.pubname = p.pubname
        where not (p.puballtables and t.schemaname ~ '^(_timescaledb_|analytics_chunks$)')

        union all
        select row('subscription', s.subname, s.subowner::regrole, s.subenabled, s.subpublications)::text
        from pg_subscription as s
        where s.subdbid = (select oid from pg_database where datname = current_database())

        union all
        select row('event trigger', e.evtname, e.evtevent, e.evtenabled, e.evtfoid::regproc)::text
        from pg_event_trigger as e

        union all
        select row('foreign server', f.srvname, f.srvowner::regrole, platform.acl_text(f.srvacl))::text
        from pg_foreign_server as f

        union all
        select row('language', l.lanname, l.lanpltrusted, platform.acl_text(l.lanacl))::text
        from pg_language as l

        union all
        select row('foreign data wrapper', w.fdwname, w.fdwowner::regrole, platform.acl_text(w.fdwacl))::text
        from pg_foreign_data_wrapper as w

        union all
        select row('user mapping', m.srvname, case m.umuser when 0 then 'public' else m.umuser::regrole::text end)::text
        from pg_user_mappings as m

        union all
        select row('parameter', p.parname, platform.acl_text(p.paracl))::text
        from pg_parameter_acl as p

        union all
        -- The server's own tables and columns, where somebody was given more or less than the server was made with.
        select row(
            'catalog', c.relname, platform.acl_text(c.relacl),
            (select string_agg(t.attname || platform.acl_text(t.attacl), ',' order by t.attname)
             from pg_attribute as t where t.attrelid = c.oid and t.attacl is not null)
        )::text
        from pg_class as c
        where c.relnamespace = 'pg_catalog'::regnamespace
            and (
                c.relacl is distinct from (
                    select i.initprivs from pg_init_privs as i
                    where i.classoid = 'pg_class'::regclass and i.objoid = c.oid and i.objsubid = 0
                )
                or exists (select from pg_attribute as t where t.attrelid = c.oid and t.attacl is not null)
            )

        union all
        select row('leakproof', count(*), md5(string_agg(p.oid::regprocedure::text, ',' order by p.oid)))::text
        from pg_proc as p
        where p.proleakproof

        union all
        select row('operator', o.oid::regoperator, o.oprowner::regrole, o.oprcode::oid::regprocedure)::text
        from pg_operator as o
        where o.oid >= 16384

        union all
        select row(
            'cast', c.castsource::regtype, c.casttarget::regtype, c.castcontext, c.castmethod, c.castfunc::regprocedure
        )::text
        from pg_cast as c
        where c.oid >= 16384

        union all
        select row('type', t.oid::regtype, t.typtype, t.typowner::regrole, platform.acl_text(t.typacl))::text
        from pg_type as t
        inner join schemas as s on t.typnamespace = s.oid
        where t.typtype in ('d', 'e', 'r') or t.typacl is not null

        union all
        select row('large object', m.lomowner::regrole, platform.acl_text(m.lomacl), count(*))::text
        from pg_largeobject_metadata as m
        group by m.lomowner, platform.acl_text(m.lomacl)

        union all
        select row('subscribed', s.subname, x.srrelid::regclass)::text
        from pg_subscription_rel as x
        inner join pg_subscription as s on x.srsubid = s.oid

        union all
        -- What reads the log past publications.
        select row('slot', s.slot_name, s.plugin)::text
        from pg_replication_slots as s
        where s.slot_type = 'logical' and s.plugin <> 'pgoutput' and s.database = current_database()

        union all
        select row('tablespace', t.spcname, t.spcowner::regrole, platform.acl_text(t.spcacl))::text
        from pg_tablespace as t
    )

    select f.fact from facts as f
$$;
