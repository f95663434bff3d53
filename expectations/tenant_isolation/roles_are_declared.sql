-- Who may log in here, bypass row security, or become a role that does. Of superusers there is the one that the server
-- was made with, and the database's owner.
with platform_roles (name, logs_in, bypasses, replicates, member_of) as (
    values
    ('owner', false, false, false, '{}'::text[]),
    ('migrator', true, true, false, '{owner}'),
    ('loader', true, true, false, '{}'),
    ('transformer', true, true, false, '{}'),
    ('auditor', true, true, false, '{}'),
    ('app', true, false, false, '{}'),
    ('replicator', true, false, true, '{}'),
    -- Finds tenants and records usage, through two functions.
    ('gateway', true, false, false, '{}'),
    -- Reads what is declared an aggregate, and nothing else.
    ('publisher', true, false, false, '{}')
),

administrators as (
    select r.oid
    from pg_roles as r
    inner join pg_database as d on d.datname = current_database()
    where r.oid = 10 or r.oid = d.datdba
)

select
    r.rolname || ' (' || case
        when r.rolsuper then 'superuser'
        when r.rolbypassrls and not coalesce(p.bypasses, false) then 'bypassrls'
        when p.name is not null and r.rolcreaterole then 'createrole'
        when p.name is not null and r.rolcreatedb then 'createdb'
        when p.name is not null and r.rolreplication and not p.replicates then 'replication'
        else 'login'
    end || ')' as object,
    1 as offenders
from pg_roles as r
left join platform_roles as p on r.rolname = p.name
where r.oid not in (select a.oid from administrators as a)
    and r.rolname !~ '^pg_'
    and (
        r.rolsuper
        or (r.rolbypassrls and not coalesce(p.bypasses, false))
        or (p.name is not null and (r.rolcreaterole or r.rolcreatedb or (r.rolreplication and not p.replicates)))
        or (r.rolcanlogin and not p.logs_in)
        or (
            r.rolcanlogin
            and p.name is null
            and has_database_privilege(r.oid, current_database(), 'connect')
            and r.rolname <> coalesce(current_setting('proof.tenant_login', true), '')
        )
    )

union all
select m.member::regrole::text || ' (member of ' || m.roleid::regrole::text || ')', 1
from pg_auth_members as m
inner join platform_roles as g on m.roleid::regrole::text = g.name
left join platform_roles as p on m.member::regrole::text = p.name
where m.member not in (select a.oid from administrators as a)
    and not coalesce(g.name = any(p.member_of), false)

union all
select m.member::regrole::text || ' (member of ' || m.roleid::regrole::text || ')', 1
from pg_auth_members as m
inner join platform_roles as p on m.member::regrole::text = p.name
where m.roleid::regrole::text <> all(p.member_of);
