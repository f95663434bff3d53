-- On a tenant's table exactly one policy, for all commands and all roles, whose two predicates compare the tenant
-- column with the context. Permissive policies are OR-ed: a second one only ever adds rows.
-- The fences are what current_tenant() reads to answer, so theirs alone compares with what the session claims.
with expected as (
    select
        d.name,
        format(
            case d.name
                when 'saas.tenant_fences' then '(%I = ( SELECT platform.claimed_tenant() AS claimed_tenant))'
                else '(%I = ( SELECT platform.current_tenant() AS current_tenant))'
            end,
            d.tenant_column
        ) as predicate
    from declared as d
),

policies as (
    select
        p.polrelid,
        p.polname = 'tenant_isolation'
        and p.polcmd = '*'
        and p.polpermissive
        and p.polroles = '{0}'::oid[]
        -- A predicate that is missing is no smaller hole than another one: without USING every row is read.
        and coalesce(pg_get_expr(p.polqual, p.polrelid), '') = e.predicate
        and coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') = e.predicate as exact,
        -- A restrictive policy can only take rows away.
        p.polpermissive or p.polname = 'tenant_isolation' as counts
    from pg_policy as p
    inner join actual as a on p.polrelid = a.oid
    inner join expected as e on a.name = e.name
)

select a.name as object, count(p.polrelid) filter (where not p.exact) + (count(p.polrelid) = 0)::integer as offenders
from declared as d
inner join actual as a on d.name = a.name
left join policies as p on a.oid = p.polrelid and p.counts
where d.kind = 'tenant' and a.relkind in ('table', 'partitioned table')
group by a.name
having count(p.polrelid) <> 1 or not bool_and(p.exact);
