-- The server keeps samples of every column (pg_statistic, pg_statistic_ext_data), passwords and connection strings in
-- tables that it gives to nobody. Privileges on its own tables may be narrower than it installed them, never wider.
select c.oid::regclass::text || ' (' || lower(x.privilege_type) || ' by ' || case x.grantee
    when 0 then 'public' else x.grantee::regrole::text end || ')' as object,
    1 as offenders
from pg_class as c
cross join lateral (
    select y.grantee, y.privilege_type
    from aclexplode(c.relacl) as y
    union
    select z.grantee, z.privilege_type
    from pg_attribute as t
    cross join lateral aclexplode(t.attacl) as z
    where t.attrelid = c.oid and t.attacl is not null
) as x
where c.relnamespace = 'pg_catalog'::regnamespace
    and (x.grantee = 0 or x.grantee in (select s.oid from serving as s))
    and not exists (
        select from pg_init_privs as i
        cross join lateral aclexplode(i.initprivs) as y
        where i.classoid = 'pg_class'::regclass
            and i.objoid = c.oid
            and y.grantee = x.grantee
            and y.privilege_type = x.privilege_type
    );
