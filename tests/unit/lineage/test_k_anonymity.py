"""What k persons have in common is nobody's: aggregates over tested groups leave the cell without a finding."""

import pytest

from orchestration.lineage.check import prove
from tests.unit.lineage.conftest import Plant

K = 10

PERSONS = (
    "with orders as (select o.tenant_id, o.currency, o.total_amount, o.created_at, o.status, o.id, u.person_id,"
    " o.user_id from ecommerce.orders as o"
    " inner join ecommerce.users as u on o.tenant_id = u.tenant_id and o.user_id = u.id) "
)

HOLD = {
    "a count and a sum of k persons": PERSONS
    + "select currency, count(*) as orders, sum(total_amount) as revenue, avg(total_amount) as mean"
    " from orders group by currency having count(distinct person_id) >= 10",
    "more than k less one": PERSONS
    + "select currency, count(*) as n from orders group by currency having count(distinct person_id) > 9",
    "k is at most as many": PERSONS
    + "select currency, count(*) as n from orders group by currency having 10 <= count(distinct person_id)",
    "k and another condition": PERSONS + "select currency, count(*) as n from orders group by currency"
    " having (count(distinct person_id) >= 10 and count(distinct tenant_id) >= 3)",
    "the test is outside of the aggregate": PERSONS
    + ", groups as (select currency, count(distinct person_id) as persons, sum(total_amount) as revenue"
    " from orders group by currency) select g.currency, g.persons, g.revenue from groups as g where g.persons >= 10",
    "the test is two queries further out": PERSONS
    + ", groups as (select currency, count(distinct person_id)::bigint as persons from orders group by currency),"
    " named as (select currency as c, persons as p from groups) select c, p from named where p >= 10",
    "the test is the condition of a join": PERSONS
    + ", groups as (select currency, count(distinct person_id) as persons from orders group by currency)"
    " select t.name, g.persons from saas.plans as t inner join groups as g on g.persons >= 10",
    "accounts of one tenant": "select tenant_id, currency, count(*) as orders from ecommerce.orders"
    " group by tenant_id, currency having count(distinct user_id) >= 10",
    "accounts that are named with their tenant where there is no person": "select o.currency, count(*) as orders"
    " from ecommerce.orders as o left join ecommerce.users as u on o.tenant_id = u.tenant_id and o.user_id = u.id"
    " group by o.currency"
    " having count(distinct coalesce(u.person_id::text, o.tenant_id::text || '/' || o.user_id::text)) >= 10",
    "an expression is the group": PERSONS + "select date_trunc('month', created_at) as month, count(*) as n from orders"
    " group by date_trunc('month', created_at) having count(distinct person_id) >= 10",
    "the group by its place": PERSONS + "select date_trunc('month', created_at) as month, count(*) as n from orders"
    " group by 1 having count(distinct person_id) >= 10",
    "the group by its name": PERSONS + "select date_trunc('month', created_at) as month, count(*) as n from orders"
    " group by month having count(distinct person_id) >= 10",
    "a filter with a test of its own": PERSONS
    + "select currency, count(*) filter (where status = 'refunded') as refunded from orders group by currency"
    " having count(distinct person_id) filter (where status = 'refunded') >= 10",
    "a trait that k persons share": "select tenant_id, country, count(*) as events from analytics.events"
    " group by tenant_id, country having count(distinct user_id) >= 10",
    "both branches of a union are tested": PERSONS
    + ", groups as (select currency, count(distinct person_id) as persons from orders group by currency"
    " union all select status, count(distinct person_id) from orders group by status)"
    " select currency, persons from groups where persons >= 10",
    "the median": PERSONS
    + "select currency, percentile_cont(0.5) within group (order by total_amount) as median from orders"
    " group by currency having count(distinct person_id) >= 10",
    "a group per person first": PERSONS
    + ", each as (select currency, person_id, sum(total_amount) as spent from orders group by currency, person_id)"
    " select currency, count(*) as persons, sum(spent) as spent from each group by currency"
    " having count(distinct person_id) >= 10",
    "what is of nobody": "select t.name, p.monthly_price from saas.tenants as t"
    " inner join saas.plans as p on t.plan = p.plan",
    "a window over groups that were tested": PERSONS
    + ", groups as (select currency, count(distinct person_id) as persons from orders group by currency)"
    " select currency, lag(persons) over (order by currency) as before from groups where persons >= 10",
    "a share of all groups that were tested": PERSONS
    + "select currency, count(*) / sum(count(*)) over () as share from orders group by currency"
    " having count(distinct person_id) >= 10",
    "accounts of both branches of a union, each with its tenant": "select tenant_id, count(*) as n from ("
    "select tenant_id, user_id from analytics.events union all select tenant_id, user_id from ecommerce.orders) as e"
    " group by tenant_id having count(distinct user_id) >= 10",
    "groups joined with groups": PERSONS
    + ", groups as (select currency, count(distinct person_id) as persons from orders group by currency"
    " having count(distinct person_id) >= 10) select g.currency, g.persons - h.persons as difference"
    " from groups as g left join groups as h on g.currency > h.currency",
}


@pytest.mark.parametrize("sql", HOLD.values(), ids=HOLD.keys())
def test_groups_of_k_persons_leave_the_cell(plant: Plant, sql: str) -> None:
    found = prove(plant(sql), k=K)
    assert found.holds, "\n".join(map(str, (*found.leaks, *found.unproven)))
    assert found.publishable("marts.leak")


@pytest.mark.parametrize("sql", [sql for sql in HOLD.values() if "10" in sql])
def test_the_same_groups_are_too_small_when_k_is_larger(plant: Plant, sql: str) -> None:
    assert prove(plant(sql), k=11).leaks


WITHHELD = (
    "with cells as (select distinct tenant_id, date_trunc('day', created_at) as day, currency from ecommerce.orders)"
    " select day, count(*) as groups from cells group by day"
)


def test_a_relation_that_counts_groups_says_so_with_a_reason(plant: Plant) -> None:
    assert prove(plant(WITHHELD), k=K).leaks
    assert prove(plant(WITHHELD, counts_groups="numbers of groups, of no one in them"), k=K).holds


@pytest.mark.parametrize(
    "sql",
    [
        # Each person is a group.
        WITHHELD.replace("distinct tenant_id", "distinct user_id"),
        # Rows are persons' orders.
        WITHHELD.replace("distinct tenant_id", "tenant_id"),
        WITHHELD.replace("count(*) as groups", "sum(1) as groups, max(currency) as largest").replace(
            "from cells", "from ecommerce.orders inner join cells using (currency)"
        ),
        "select count(*) as groups from ecommerce.users where email like 'a%'",
        "select email, count(*) as groups from ecommerce.users group by email",
    ],
)
def test_whoever_counts_groups_may_not_count_persons(plant: Plant, sql: str) -> None:
    assert prove(plant(sql, counts_groups="numbers of groups"), k=K).leaks


def test_what_is_not_declared_to_leave_may_not_be_published(plant: Plant) -> None:
    found = prove(plant("select 1 as one", leaves_cell=False), k=K)
    assert found.holds
    assert not found.publishable("marts.leak")
    assert not found.publishable("marts.unknown")


def test_nothing_is_publishable_while_anything_cannot_be_followed(plant: Plant) -> None:
    found = prove(plant("select 1 as one", more={"intermediate.int_odd": "select x from nowhere.at_all"}), k=K)
    assert not found.leaks
    assert not found.publishable("marts.leak")
