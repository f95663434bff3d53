-- A privilege with grant option can be given to anybody by its holder, tomorrow, unseen.
select a.name || ' (' || lower(x.privilege_type) || ' by ' || case x.grantee
    when 0 then 'public' else x.grantee::regrole::text end || ')' as object,
    1 as offenders
from actual as a
inner join pg_class as c on a.oid = c.oid
cross join lateral (
    select y.grantee, y.privilege_type, y.is_grantable from aclexplode(c.relacl) as y
    union
    select z.grantee, z.privilege_type, z.is_grantable
    from pg_attribute as t
    cross join lateral aclexplode(t.attacl) as z
    where t.attrelid = a.oid and t.attacl is not null
) as x
where x.is_grantable and x.grantee <> a.relowner;
