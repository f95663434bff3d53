-- Those of which no row of another tenant is left; the refused lines go with their load.
delete from platform.loads as l
using pg_temp.noted_loads as n
where l.load_id = n.load_id
    and not exists (select from ecommerce.orders as o where o.load_id = l.load_id)
    and not exists (select from analytics.events_history as h where h.load_id = l.load_id)
