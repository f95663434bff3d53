-- GRANT SET ON PARAMETER gives away what only a superuser may: session_replication_role switches triggers and foreign
-- keys off.
select p.parname || ' (' || lower(x.privilege_type) || ' by ' || case x.grantee
    when 0 then 'public' else x.grantee::regrole::text end || ')' as object,
    1 as offenders
from pg_parameter_acl as p
cross join lateral aclexplode(p.paracl) as x
inner join pg_roles as o on o.oid = 10
where x.grantee <> o.oid;
