-- A tenant's row as another registry, or an archive, has it; what it does not say has its default.
insert into saas.tenants (id, name, subdomain, plan, status, model, created_at)
select t.id, t.name, t.subdomain, t.plan, t.status, t.model, t.created_at
from jsonb_populate_record(null::saas.tenants, %(tenant)s) as t
on conflict (id) do nothing
