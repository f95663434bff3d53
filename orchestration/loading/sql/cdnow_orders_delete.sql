-- Orders of an earlier load that are not in the log any more; their lines go with them.
delete from ecommerce.orders
where
    tenant_id = %(tenant_id)s
    and origin = 'import'
    and load_id = %(load_id)s
    and id <> all(%(rows)s::bigint[]);
