-- The tenant in the registry of its own database, as its cell has it. Whatever columns a plan gets are taken over.
with plan_of_cell as (
    select p.*
    from jsonb_populate_record(null::saas.plans, %(plan)s) as p
),

plan_here as (
    insert into saas.plans
    select p.* from plan_of_cell as p
    on conflict (plan) do nothing
)

insert into saas.tenants as t (id, name, subdomain, plan, model, status)
values (%(id)s, %(name)s, %(subdomain)s, %(plan_name)s, 'database', %(status)s)
on conflict (id) do update
set name = excluded.name, subdomain = excluded.subdomain, plan = excluded.plan, status = excluded.status
