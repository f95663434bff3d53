-- Two tenants with a shopper and twenty orders each. Parameters: tenants.
insert into saas.plans (plan, name, monthly_price) values ('dbt_test', 'Test', 0) on conflict do nothing;

insert into geo.users (id, email, region)
select t.tenant, t.tenant || '@example.com', 'na'
from unnest(%(tenants)s::uuid[]) as t (tenant);

insert into saas.tenants (id, name, subdomain, plan)
select t.tenant, 'Tenant ' || t.i, 'dbt-test-' || t.i, 'dbt_test'
from unnest(%(tenants)s::uuid[]) with ordinality as t (tenant, i);

insert into ecommerce.users (tenant_id, id, person_id, email, password_hash)
select t.tenant, 1, t.tenant, t.tenant || '@example.com', 'x'
from unnest(%(tenants)s::uuid[]) as t (tenant);

insert into ecommerce.orders (
    tenant_id, id, user_id, status, currency, subtotal, tax_amount, total_amount, created_at
)
select
    t.tenant,
    n,
    1,
    case when n %% 5 = 0 then 'cancelled' else 'paid' end,
    case when n %% 2 = 0 then 'USD' else 'CAD' end,
    n,
    1,
    n + 1,
    timestamptz '2026-03-02Z' + n * interval '7 hours'
from unnest(%(tenants)s::uuid[]) as t (tenant)
cross join generate_series(1, 20) as n;
