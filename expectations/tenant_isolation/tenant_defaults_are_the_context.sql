-- Any other default puts rows that name no tenant into somebody's.
select a.name || '.' || d.tenant_column as object, 1 as offenders
from declared as d
inner join actual as a on d.name = a.name
inner join pg_attribute as t on a.oid = t.attrelid and d.tenant_column = t.attname
inner join pg_attrdef as e on t.attrelid = e.adrelid and t.attnum = e.adnum
where d.kind = 'tenant'
    and t.attgenerated = ''
    and pg_get_expr(e.adbin, e.adrelid) <> 'platform.current_tenant()';
