select count(*)
from ecommerce.orders
where tenant_id = %(tenant_id)s and origin = 'import' and load_id = %(load_id)s;
