-- Which of these tenants the cell has no more, and which keep their operational rows in a place of their own.
select
    g.id,
    platform.is_former_tenant(g.id) as departed,
    coalesce(t.model <> 'shared', false) as elsewhere
from unnest(%(tenants)s::uuid []) as g (id)
left join saas.tenants as t on g.id = t.id
where
    platform.is_former_tenant(g.id)
    or t.model <> 'shared';
