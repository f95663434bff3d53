-- Shoppers, orders and paths of the tenants given, by size: one statement a group. Parameters: tenants.
--
-- Orders of 2026-03-03: EUR by 12 persons at 4 merchants; USD by 9, CHF by 5 others. Of 2026-03-04: EUR by 12 persons, of whom
-- one spends a hundred times as much. Of 2026-03-05: EUR by 12 persons at 2 merchants. Of 2026-03-06: one person at all
-- merchants, 40 orders.
insert into saas.plans (plan, name, monthly_price) values ('dbt_test', 'Test', 0) on conflict do nothing;

insert into saas.tenants (id, name, subdomain, plan)
select t.tenant, 'Tenant ' || t.i, 'aggregate-' || t.i, 'dbt_test'
from unnest(%(tenants)s::uuid[]) with ordinality as t (tenant, i);

insert into geo.users (id, email, region)
select md5('aggregate ' || n)::uuid, 'aggregate-' || n || '@example.com', 'na'
from generate_series(1, 60) as n;

insert into ecommerce.users (tenant_id, id, person_id, email, password_hash)
select t.tenant, n, md5('aggregate ' || n)::uuid, 'aggregate-' || n || '@example.com', 'x'
from unnest(%(tenants)s::uuid[]) as t (tenant)
cross join generate_series(1, 60) as n;

insert into ecommerce.orders (tenant_id, id, user_id, currency, subtotal, total_amount, created_at)
select
    (%(tenants)s::uuid[])[1 + (row_number() over (order by g.day, g.currency, n)) %% g.merchants],
    1000 + row_number() over (order by g.day, g.currency, n),
    n,
    g.currency,
    case when n = g.whale then 10000 else 100 end,
    case when n = g.whale then 10000 else 100 end,
    g.day + interval '12 hours'
from (
    values
    (timestamptz '2026-03-03Z', 'EUR', 1, 12, 4, 0),
    (timestamptz '2026-03-03Z', 'USD', 1, 9, 4, 0),
    (timestamptz '2026-03-03Z', 'CHF', 30, 34, 4, 0),
    (timestamptz '2026-03-04Z', 'EUR', 1, 12, 4, 5),
    (timestamptz '2026-03-05Z', 'EUR', 1, 12, 2, 0)
) as g (day, currency, first_person, last_person, merchants, whale)
cross join lateral generate_series(g.first_person, g.last_person) as n;

insert into ecommerce.orders (tenant_id, id, user_id, currency, subtotal, total_amount, created_at)
select t.tenant, 2000 + n, 1, 'EUR', 100, 100, timestamptz '2026-03-06T12:00Z'
from unnest(%(tenants)s::uuid[]) as t (tenant)
cross join generate_series(1, 10) as n;

-- Paths of the week of 2026-03-02: 20 persons look, 3 add to a cart, none goes to the checkout, 15 buy. Of the week of
-- 2026-03-09: 12 at each step. Of the week of 2026-03-16: 9 look.
insert into analytics.events (time, tenant_id, event_id, user_id, event_type, origin, load_id)
select
    g.day + s.step * interval '1 minute',
    (%(tenants)s::uuid[])[1 + n %% 4],
    md5(g.day::text || s.step || '/' || n)::uuid,
    n,
    s.event_type,
    'synthetic',
    '00000000-0000-0000-0000-0000000000dd'
from (
    values
    (timestamptz '2026-03-03T10:00Z', 1, 20, 1),
    (timestamptz '2026-03-03T10:00Z', 21, 23, 2),
    (timestamptz '2026-03-03T10:00Z', 24, 38, 4),
    (timestamptz '2026-03-10T10:00Z', 1, 12, 1),
    (timestamptz '2026-03-10T10:00Z', 13, 24, 2),
    (timestamptz '2026-03-10T10:00Z', 25, 36, 3),
    (timestamptz '2026-03-10T10:00Z', 37, 48, 4),
    (timestamptz '2026-03-17T10:00Z', 1, 9, 1)
) as g (day, first_person, last_person, depth)
cross join lateral generate_series(g.first_person, g.last_person) as n
inner join (values (1, 'product_view'), (2, 'add_to_cart'), (3, 'checkout_start'), (4, 'purchase')) as s (step, event_type)
    on s.step <= g.depth;

-- Until when the cell has seen events.
insert into analytics.events (time, tenant_id, event_id, user_id, event_type, origin, load_id)
values (
    timestamptz '2026-04-01T10:00Z', (%(tenants)s::uuid[])[1], md5('last')::uuid, 1, 'page_view', 'synthetic',
    '00000000-0000-0000-0000-0000000000dd'
);
