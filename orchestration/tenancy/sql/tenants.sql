-- Tenants of a cell, all or those that are asked for, in the order of their subdomains.
select t.id, t.name, t.subdomain, t.plan, t.status, t.model
from saas.tenants as t
where (%(id)s::uuid is null or t.id = %(id)s)
    and (%(subdomain)s::text is null or t.subdomain = %(subdomain)s)
    and (%(status)s::text is null or t.status = %(status)s)
    and (%(model)s::text is null or t.model = %(model)s)
    and (%(plan)s::text is null or t.plan = %(plan)s)
    and (%(after)s::text is null or t.subdomain > %(after)s)
order by t.subdomain
