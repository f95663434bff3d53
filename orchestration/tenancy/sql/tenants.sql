-- Tenants of a cell; which of them is added by whoever asks.
select t.id, t.name, t.subdomain, t.plan, t.status, t.model
from saas.tenants as t
