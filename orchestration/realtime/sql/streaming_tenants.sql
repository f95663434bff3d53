-- Tenants with events of the stream since a moment; asked tenant by tenant, for that is how the index lies.
select t.id
from saas.tenants as t
where exists (
        select from analytics.events as e
        where e.tenant_id = t.id and e.time >= %(since)s and e.origin = 'stream'
    )
