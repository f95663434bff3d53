-- A privilege that every later table or function would give away by itself.
select
    coalesce(n.nspname, 'all schemas') || ' (' || case d.defaclobjtype
        when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions' when 'n' then 'schemas' else 'types'
    end || ' of ' || d.defaclrole::regrole::text || ')' as object,
    count(*) as offenders
from pg_default_acl as d
left join pg_namespace as n on d.defaclnamespace = n.oid
cross join lateral aclexplode(d.defaclacl) as x
where d.defaclobjtype <> 'T'
    and (x.grantee = 0 or x.grantee in (select s.oid from serving as s))
group by n.nspname, d.defaclobjtype, d.defaclrole

union all
-- What the server itself gives for functions stands until it is taken back, and granting it again leaves no entry.
select 'all schemas (functions of ' || r.rolname || ')', 1
from pg_roles as r
where r.rolname in ('owner', 'migrator', 'transformer')
    and not exists (
        select from pg_default_acl as d
        where d.defaclrole = r.oid and d.defaclnamespace = 0 and d.defaclobjtype = 'f'
    );
