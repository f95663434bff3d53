-- A foreign key is checked with the rights of the table's owner: one that leaves the tenant out tells by its error
-- whether another tenant's row exists, and its cascades reach that row.
with keys as (
    select
        k.oid,
        a.name,
        k.conname,
        r.name as referenced,
        d.kind as referenced_kind,
        -- Whether the tenant's column is compared with the tenant's column of the other side.
        (
            select coalesce(bool_or(
                o.attname = coalesce(own_declared.tenant_column, 'tenant_id')
                and (
                    f.attname = d.tenant_column
                    -- The tenant itself: saas.tenants names it id.
                    or (r.name = 'saas.tenants' and f.attname = 'id')
                )
            ), false)
            from pg_attribute as o
            inner join pg_attribute as f
                on f.attrelid = k.confrelid
                and array_position(k.conkey, o.attnum) = array_position(k.confkey, f.attnum)
            where o.attrelid = k.conrelid
        ) as carries_tenant
    from pg_constraint as k
    inner join actual as a on k.conrelid = a.oid
    inner join actual as r on k.confrelid = r.oid
    left join declared as own_declared on a.name = own_declared.name
    left join declared as d on r.name = d.name
    where k.contype = 'f' and own_declared.kind = 'tenant'
)

select k.name || ' (' || k.conname || ' to ' || k.referenced || ')' as object, 1 as offenders
from keys as k
where not (
        coalesce(k.referenced_kind = 'global', false)
        or (k.referenced_kind = 'tenant' and k.carries_tenant)
        -- A person is nobody's: several tenants may know the same one. Ids are random UUIDs, so the error tells nothing
        -- that could be guessed.
        or (
            k.referenced_kind = 'person'
            and k.referenced = 'geo.users'
            and regexp_replace(k.name, '^t_[0-9a-f]{32}_', '') in ('saas.users', 'ecommerce.users')
        )
    );
