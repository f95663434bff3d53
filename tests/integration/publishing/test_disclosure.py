"""What can be found out from what is published: for any persons, merchants and refreshes, no group of fewer than k.

The macros that the models consist of run on the server, and what they give is held against the very persons. The rule
is made smaller than the project's, so that groups lie on both sides of it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import combinations
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import TupleRow

from orchestration.analysis.render import render
from orchestration.cells import routing
from orchestration.engines.local import LocalEngines
from orchestration.publishing import publication, standing
from orchestration.publishing.rule import DisclosureRule, read_rule
from tests.integration.publishing.conftest import Publishing

FILE = "publishing/k_anonymity.sql"
RULE = replace(read_rule(), k=5, tenants=3, dominance_percent=10, rounding=5)
N_STEPS = 4
MONDAY = date(2026, 3, 2)
CURRENCIES = ("AUD", "EUR", "SGD")

MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass(frozen=True)
class Contribution:
    """What one person did at one merchant, in a group's place (a step, a week later, a currency)."""

    person: str
    tenant: int
    place: Any
    amount: int = 1


@st.composite
def contributions(draw: st.DrawFn, places: Sequence[Any]) -> list[Contribution]:
    """Some persons in each place, at merchants of whom one may have nearly all."""
    made = []
    for number, place in enumerate(places):
        for person in range(draw(st.integers(0, 14))):
            tenant = draw(st.sampled_from([1, 1, 1, 2, 3, 4, 5]))
            amount = draw(st.sampled_from([1, 10, 10, 10, 500]))
            # A person may be in several places only where the caller says so.
            made.append(Contribution(f"{number}-{person}", tenant, place, amount))
            if draw(st.integers(0, 5)) == 0:
                made.append(Contribution(f"{number}-{person}", tenant % 5 + 1, place, amount))
    return made


def rounded(count: int) -> int:
    return int((count + RULE.rounding / 2) // RULE.rounding) * RULE.rounding


def dominated(parts: Mapping[Any, int]) -> bool:
    amounts = sorted(parts.values(), reverse=True)
    return sum(amounts[2:]) * 100 < RULE.dominance_percent * amounts[0]


def may_be_shown(group: Sequence[Contribution]) -> bool:
    """Return whether counts of a group's persons may be published, said once more in Python."""
    persons = {each.person for each in group}
    of_tenant: dict[int, set[str]] = defaultdict(set)
    for each in group:
        of_tenant[each.tenant].add(each.person)
    if len(persons) < RULE.k or len(of_tenant) < RULE.tenants:
        return False
    return not dominated({tenant: len(found) for tenant, found in of_tenant.items()})


def amounts_may_be_shown(group: Sequence[Contribution]) -> bool:
    """Return whether an amount may be published: neither a merchant nor a buyer dominates it."""
    by_tenant: dict[Any, int] = defaultdict(int)
    by_person: dict[Any, int] = defaultdict(int)
    for each in group:
        by_tenant[each.tenant] += each.amount
        by_person[each.person] += each.amount
    enough = len(by_person) >= RULE.k and len(by_tenant) >= RULE.tenants
    return enough and not dominated(by_tenant) and not dominated(by_person)


@pytest.fixture(scope="module")
def server(cells: LocalEngines) -> Iterator[psycopg.Connection[TupleRow]]:
    """A connection with empty contributions of each dataset."""
    assert cells
    with routing.connect("na", "transformer", autocommit=True) as connection:
        connection.execute(
            "create temporary table funnel_c (closes_on date, funnel text, week date, furthest_step integer,"
            " contributor text, tenant_id integer);"
            "create temporary table cohort_c (closes_on date, cohort_name text, cohort date, weeks_later integer,"
            " returned boolean, contributor text, tenant_id integer);"
            "create temporary table revenue_c (closes_on date, day date, currency text, contributor text,"
            " tenant_id integer, orders bigint, revenue numeric(16, 2))"
        )
        yield connection


def run(
    connection: psycopg.Connection[TupleRow], table: str, rows: Sequence[Any], macro: str, **more: Any
) -> list[Any]:
    """Put ``rows`` into ``table`` and return what ``macro`` publishes of it."""
    with connection.cursor() as cursor:
        cursor.execute(f"truncate {table}".encode())
        if rows:
            marks = ", ".join(["%s"] * len(rows[0]))
            cursor.executemany(f"insert into {table} values ({marks})".encode(), rows)
        query = render(FILE, macro, contributions=table, rule=vars(RULE), **more)
        return cursor.execute(f"select * from {query} as published".encode()).fetchall()


def funnel_rows(made: Sequence[Contribution], week: date = MONDAY) -> list[Any]:
    closes = week + timedelta(days=10)
    return sorted({(closes, "f", week, each.place, each.person, each.tenant) for each in made})


def of_steps(made: Sequence[Contribution], first: int, last: int) -> list[Contribution]:
    return [each for each in made if first <= each.place <= last]


@MANY
@given(made=contributions(range(1, N_STEPS + 1)))
def test_every_group_of_a_funnel_and_every_difference_of_two_steps_may_be_shown(
    server: psycopg.Connection[TupleRow], made: list[Contribution]
) -> None:
    shown = run(server, "funnel_c", funnel_rows(made), "published_funnel", n_steps=N_STEPS)
    groups = sorted((first, last, detail, persons) for _, _, _, detail, first, last, persons in shown)
    for first, last, _, persons in groups:
        group = of_steps(made, first, last)
        assert may_be_shown(group)
        assert persons == rounded(len({each.person for each in group}))
    # The groups follow each other from the first step to the last: nobody is counted twice or left out.
    assert [first for first, *_ in groups] == [1, *(last + 1 for _, last, _, _ in groups)][: len(groups)]
    assert not groups or groups[-1][1] == N_STEPS
    # A step is the sum of the groups from it on; two steps differ by groups that were looked at above.
    starts = [first for first, *_ in groups]
    for earlier, later in combinations(starts, 2):
        between = {each.person for each in of_steps(made, earlier, later - 1)}
        assert len(between) >= RULE.k


@MANY
@given(made=contributions(range(1, N_STEPS + 1)))
def test_a_funnel_is_shown_at_the_finest_detail_that_may_be_shown(
    server: psycopg.Connection[TupleRow], made: list[Contribution]
) -> None:
    shown = run(server, "funnel_c", funnel_rows(made), "published_funnel", n_steps=N_STEPS)
    details = {
        "steps": [(step, step) for step in range(1, N_STEPS + 1)],
        "conversion": [(1, N_STEPS - 1), (N_STEPS, N_STEPS)],
        "entered": [(1, N_STEPS)],
    }
    finest = next(
        (
            name
            for name, groups in details.items()
            if all(may_be_shown(of_steps(made, first, last)) for first, last in groups)
        ),
        None,
    )
    assert {row[3] for row in shown} == ({finest} if finest else set())


def cohort_rows(made: Sequence[Contribution]) -> list[Any]:
    """A place is whether the person came back one week later; at week 0 all persons of the cohort are there."""
    rows = set()
    for each in made:
        rows.add((MONDAY + timedelta(days=9), "c", MONDAY, 0, True, each.person, each.tenant))
        rows.add((MONDAY + timedelta(days=16), "c", MONDAY, 1, each.place, each.person, each.tenant))
    return sorted(rows)


@MANY
@given(made=contributions([True, False]))
def test_who_came_back_and_who_did_not_are_both_groups_or_the_week_is_not_shown(
    server: psycopg.Connection[TupleRow], made: list[Contribution]
) -> None:
    shown = {row[3]: row[4] for row in run(server, "cohort_c", cohort_rows(made), "published_cohorts")}
    back = [each for each in made if each.place]
    left = [each for each in made if not each.place]
    assert (0 in shown) == may_be_shown(made)
    assert (1 in shown) == (may_be_shown(back) and may_be_shown(left))
    if 0 in shown and 1 in shown:
        assert shown[0] - shown[1] >= RULE.k
        assert shown[1] == rounded(len({each.person for each in back}))


@MANY
@given(made=contributions(CURRENCIES))
def test_a_currency_is_shown_alone_or_with_others_or_not_and_no_total_gives_it_away(
    server: psycopg.Connection[TupleRow], made: list[Contribution]
) -> None:
    closes = MONDAY + timedelta(days=3)
    rows: dict[Any, list[int]] = defaultdict(lambda: [0, 0])
    for each in made:
        sums = rows[closes, MONDAY, each.place, each.person, each.tenant]
        sums[0] += 1
        sums[1] += each.amount
    shown = {
        row[2]: row[3:]
        for row in run(server, "revenue_c", [(*key, *sums) for key, sums in rows.items()], "published_revenue")
    }
    of = {currency: [each for each in made if each.place == currency] for currency in CURRENCIES}
    alone = {currency for currency in CURRENCIES if amounts_may_be_shown(of[currency])}
    assert set(shown) - {"other"} == alone
    rest = [each for currency in CURRENCIES if currency not in alone for each in of[currency]]
    if "other" in shown:
        assert shown["other"][2] is None
        assert len({each.person for each in rest}) >= RULE.k
        assert len({each.tenant for each in rest}) >= RULE.tenants
    for currency in alone:
        persons, orders, amount = shown[currency]
        total = sum(each.amount for each in of[currency])
        assert persons == rounded(len({each.person for each in of[currency]}))
        assert orders == rounded(len(of[currency]))
        assert abs(float(amount) - total) <= total * 0.005


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[Contribution], set[str]]]:
    """Refreshes: how many weeks have settled, who is in them (place: 10 * week + step), who is absent."""
    places = [10 * week + step for week in range(3) for step in range(1, N_STEPS + 1)]
    made = draw(contributions(places))
    persons = sorted({each.person for each in made})
    refreshes = []
    for settled in sorted(draw(st.lists(st.integers(0, 3), min_size=2, max_size=5))):
        # Some come late and some are erased, a different few at each refresh.
        late = set(draw(st.lists(st.sampled_from(persons), max_size=4))) if persons else set()
        refreshes.append((settled, made, late))
    return refreshes


@FEW
@given(refreshes=histories())
def test_no_two_refreshes_differ_by_fewer_than_k_persons_whoever_came_late_or_was_erased_between_them(
    world: Publishing,
    server: psycopg.Connection[TupleRow],
    refreshes: list[tuple[int, list[Contribution], set[str]]],
) -> None:
    published_by: dict[Any, set[str]] = {}
    seen: list[tuple[Any, ...]] = []
    world.empty_global()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication, "read_rule", lambda: RULE)
        for settled, made, absent in refreshes:
            there = [each for each in made if each.person not in absent and each.place // 10 < settled]
            rows = [
                row
                for week in range(settled)
                for row in funnel_rows(
                    [replace(each, place=each.place % 10) for each in there if each.place // 10 == week],
                    MONDAY + timedelta(weeks=week),
                )
            ]
            shown = run(server, "funnel_c", rows, "published_funnel", n_steps=N_STEPS)
            world.fill("funnel", [(c, "f", w, detail, a, z, "x", n) for c, _, w, detail, a, z, n in shown])
            world.close("funnel", MONDAY + timedelta(weeks=settled, days=3))
            publication.publish("na", "funnel")
            found = world.published("funnel")
            # Nothing that was seen is ever seen otherwise: two refreshes differ by whole new groups only.
            assert [row for row in found if row in seen] == seen
            for _, week, _, first, last, _, persons in [row for row in found if row not in seen]:
                number = (week - MONDAY).days // 7
                group = {
                    each.person for each in there if each.place // 10 == number and first <= each.place % 10 <= last
                }
                assert len(group) >= RULE.k
                assert persons == rounded(len(group))
                assert all(not group & other for key, other in published_by.items() if key[0] == week)
                published_by[week, first] = group
            seen = found
    with standing.connect() as connection:
        assert standing.below_threshold(connection, RULE.k)["funnel"] == 0


def test_the_rule_of_the_tests_differs_from_the_projects_in_its_size_only() -> None:
    assert isinstance(RULE, DisclosureRule)
    assert RULE.k % RULE.rounding == 0
    assert read_rule().k % read_rule().rounding == 0
