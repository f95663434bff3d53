-- Shoppers of an earlier load whom the log no longer names and on whom nothing hangs, and the persons behind them.
with gone as (
    delete from ecommerce.users as u
    using geo.users as g
    where
        g.id = u.person_id
        and g.profile ->> 'source' = 'cdnow'
        and u.tenant_id = %(tenant_id)s
        and u.id <> all(%(customers)s::bigint[])
        and not exists (select 1 from ecommerce.orders as o where o.tenant_id = u.tenant_id and o.user_id = u.id)
        and not exists (select 1 from ecommerce.addresses as a where a.tenant_id = u.tenant_id and a.user_id = u.id)
        and not exists (select 1 from ecommerce.carts as c where c.tenant_id = u.tenant_id and c.user_id = u.id)
        and not exists (select 1 from ecommerce.reviews as r where r.tenant_id = u.tenant_id and r.user_id = u.id)
    returning u.person_id
)

delete from geo.users as g
using gone
where
    g.id = gone.person_id
    and not exists (
        select 1
        from ecommerce.users as u
        where u.person_id = g.id and u.tenant_id <> %(tenant_id)s
    )
    and not exists (select 1 from saas.users as s where s.person_id = g.id);
