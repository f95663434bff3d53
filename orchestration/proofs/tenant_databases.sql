-- Databases that serve a tenant now: while one is made, moved or erased, nobody who serves a tenant may enter it yet or
-- any more, which databases_are_closed looks at. In an order that changes from proof to proof.
select d.datname
from pg_database as d
inner join saas.tenants as t on d.datname = 'tenant_' || replace(t.id::text, '-', '')
where t.model = 'database' and t.status in ('active', 'suspended')
order by random()
