select count(*)
from ecommerce.orders
where
    origin = 'synthetic'
    and load_id = %(load_id)s
    and created_at >= %(start)s
    and created_at < %(end)s;
