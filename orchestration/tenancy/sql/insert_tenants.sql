-- New tenants; those that are there already, by id or by subdomain, are left as they are. Returns the ids of the new ones.
insert into saas.tenants (id, name, subdomain, plan, model, status)
select a.id, a.name, a.subdomain, a.plan, a.model, a.status
from unnest(
    %(ids)s::uuid[], %(names)s::text[], %(subdomains)s::text[], %(plans)s::text[], %(models)s::text[],
    %(statuses)s::text[]
) as a (id, name, subdomain, plan, model, status)
on conflict do nothing
returning id
