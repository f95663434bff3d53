-- Databases of this server. Beside this one there may be further cells (of tests, of benchmarks), which carry the
-- platform's mark, and databases of single tenants, which are named after theirs.
select
    d.oid,
    d.datname as name,
    case
        when d.datname = current_database() then 'this'
        when d.datname ~ '^tenant_[0-9a-f]{32}$' then 'tenant'
        when shobj_description(d.oid, 'pg_database') ~ '^Capstone: ' then 'cell'
        else 'other'
    end as kind,
    d.datdba,
    coalesce(d.datacl, acldefault('d', d.datdba)) as acl
from pg_database as d
where d.datallowconn;
