-- Shoppers that loads have numbered, by the day (UTC) on which they were won.
select
    (u.created_at at time zone 'UTC')::date as won_on,
    count(*) as shoppers
from ecommerce.users as u
where
    u.created_at >= %(start)s
    and u.id < %(shop_first_id)s
    and u.tenant_id = any(%(tenants)s)
group by 1;
