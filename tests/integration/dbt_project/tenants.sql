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

-- Two hours of requests: nine within 2 ms, and one that took 40 ms.
insert into metering.request_hours (
    tenant_id, hour, requests, failures, refusals, queries, busy_us, max_us, latencies
)
select t.tenant, timestamptz '2026-03-02Z' + h * interval '1 hour', 5, h, 1, 12, 60000, 40000 * h, array[0, 5 - h, 0, 0, 0, 0, h]
from unnest(%(tenants)s::uuid[]) as t (tenant)
cross join generate_series(0, 1) as h;

insert into metering.event_months (tenant_id, month, events)
select t.tenant, date '2026-03-01', 7
from unnest(%(tenants)s::uuid[]) as t (tenant);
