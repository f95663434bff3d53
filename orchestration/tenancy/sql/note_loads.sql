-- Imports that wrote rows of this tenant: their refused lines are about its file.
create temporary table noted_loads on commit drop as
select distinct x.load_id
from (
    select o.load_id from ecommerce.orders as o where o.tenant_id = %(tenant)s and o.origin = 'import'
    union all
    select h.load_id from analytics.events_history as h where h.tenant_id = %(tenant)s and h.origin = 'import'
    union all
    select i.load_id from analytics.imports as i where i.tenant_id = %(tenant)s
) as x
