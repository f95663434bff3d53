"""Global data are read from the nearest copy only as long as it is known to be fresh enough, else at home."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orchestration.cells.freshness import compare_copies, copied_relations, note_copies
from orchestration.cells.outcome import Connection
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.reads import Eventual, NotGlobalError, StaleReadError
from orchestration.cells.region_choice import NoRegionError, Subject
from orchestration.cells.regions import CELLS, GLOBAL_HOME, Cell, UnknownCellError
from orchestration.cells.routing import CellUnavailableError
from orchestration.loading.plans import load_plans
from tests.integration.cells.routing.conftest import LIMITS, Region, Running, wait_for

PLANS = ["saas.plans"]
FRESH = Eventual(timedelta(minutes=5))
FRESH_OR_NOT_AT_ALL = Eventual(timedelta(minutes=5), or_home=False)
NEAR_EU = Subject(headers={"X-Region": "eu"})


def plans(connection: Connection) -> list[Any]:
    return connection.execute("select plan, name from saas.plans order by plan").fetchall()


@pytest.fixture
def compared(region: Region, cells: PostgresCells) -> Iterator[Region]:
    """All copies are as home and known to be."""
    del cells  # makes sure that all cells run
    note_copies(GLOBAL_HOME, region.settings)
    yield region
    for cell in CELLS:
        with region.connect(cell) as loader:
            loader.execute("delete from saas.plans where plan = 'secret'")


def known(region: Region, cell: Cell) -> dict[str, datetime]:
    with region.connect(cell, "auditor") as auditor:
        return dict(auditor.execute("select relation, complete_until from platform.replica_freshness").fetchall())


def age(region: Region, cell: Cell, by: timedelta) -> None:
    with region.connect(cell) as loader:
        loader.execute("update platform.replica_freshness set complete_until = clock_timestamp() - %s", [by])


def change(region: Region, cell: Cell) -> None:
    with region.connect(cell) as loader:
        loader.execute("insert into saas.plans (plan, name, monthly_price) values ('secret', 'Secret', 1)")


def test_a_copy_that_is_known_to_be_fresh_is_read_where_the_caller_is(cells: PostgresCells, compared: Region) -> None:
    reading = cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH)
    assert (reading.cell, reading.complete_until) == ("eu", known(compared, "eu")["saas.plans"])
    strong = cells.read_global(PLANS, plans, near=NEAR_EU)
    assert (strong.cell, strong.complete_until) == (GLOBAL_HOME, None)
    assert reading.value == strong.value != []


def test_an_explicit_region_goes_before_the_header_and_both_before_the_process(compared: Region) -> None:
    with PostgresCells(compared.settings, here="apac", limits=LIMITS) as cells:
        both = Subject(region="eu", headers={"X-Region": "apac"})
        assert cells.read_global(PLANS, plans, near=both, consistency=FRESH).cell == "eu"
        assert cells.read_global(PLANS, plans, consistency=FRESH).cell == "apac"
        assert cells.read_global(PLANS, plans, near=Subject(region="na"), consistency=FRESH).cell == "na"


def test_a_copy_that_is_too_old_is_read_at_home_or_not_at_all(cells: PostgresCells, compared: Region) -> None:
    age(compared, "eu", timedelta(minutes=4, seconds=50))
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == "eu"
    age(compared, "eu", timedelta(minutes=5))
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == GLOBAL_HOME
    with pytest.raises(StaleReadError, match=r"saas.plans in cell 'eu' is .* old"):
        cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH_OR_NOT_AT_ALL)


def test_a_copy_of_which_nothing_is_known_is_not_read(cells: PostgresCells, compared: Region) -> None:
    with compared.connect("eu") as loader:
        loader.execute("delete from platform.replica_freshness where relation = 'geo.regions'")
    both = [*PLANS, "geo.regions"]
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == "eu"
    assert cells.read_global(both, plans, near=NEAR_EU, consistency=FRESH).cell == GLOBAL_HOME
    with pytest.raises(StaleReadError, match=r"geo.regions in cell 'eu' is, is not known"):
        cells.read_global(both, plans, near=NEAR_EU, consistency=FRESH_OR_NOT_AT_ALL)


def test_a_copy_from_the_future_or_of_another_home_is_not_read(cells: PostgresCells, compared: Region) -> None:
    age(compared, "eu", -timedelta(minutes=1))
    with pytest.raises(StaleReadError, match="clocks"):
        cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH_OR_NOT_AT_ALL)
    with compared.connect("apac") as loader:
        loader.execute("update platform.replica_freshness set home = 'eu'")
    with pytest.raises(StaleReadError, match="not known"):
        cells.read_global(PLANS, plans, near=Subject(region="apac"), consistency=FRESH_OR_NOT_AT_ALL)


@pytest.mark.parametrize("relation", ["geo.users", "saas.tenants", "platform.cell", "geo.nowhere", "saas.Plans"])
def test_only_what_is_declared_global_can_be_read_or_written_as_global(cells: PostgresCells, relation: str) -> None:
    for consistency in (FRESH, FRESH_OR_NOT_AT_ALL):
        with pytest.raises(NotGlobalError, match=relation):
            cells.read_global([*PLANS, relation], plans, near=NEAR_EU, consistency=consistency)
    with pytest.raises(NotGlobalError, match=relation):
        cells.write_global([relation], plans)


def test_who_says_it_reads_global_data_sees_no_person_and_no_tenants_row(
    cells: PostgresCells, compared: Region
) -> None:
    compared.new_person("eu")

    def tenants(connection: Connection) -> list[Any]:
        return connection.execute("select id from saas.tenants union all select id from saas.projects").fetchall()

    def persons(connection: Connection) -> list[Any]:
        return connection.execute("select id from geo.users").fetchall()

    for consistency in (FRESH, FRESH_OR_NOT_AT_ALL):
        assert cells.read_global(PLANS, tenants, near=NEAR_EU, consistency=consistency).value == []
        with pytest.raises(Exception, match="permission denied"):
            cells.read_global(PLANS, persons, near=NEAR_EU, consistency=consistency)


def test_an_eventual_read_from_nowhere_is_an_error_and_not_a_guess(cells: PostgresCells) -> None:
    with pytest.raises(NoRegionError):
        cells.read_global(PLANS, plans, consistency=FRESH)
    with pytest.raises(UnknownCellError):
        cells.read_global(PLANS, plans, near=Subject(headers={"X-Region": "EU"}), consistency=FRESH)


def test_a_write_is_at_home_and_seen_there_at_once_while_a_copy_stays_as_old_as_it_says(
    cells: PostgresCells, compared: Region
) -> None:
    def write(connection: Connection) -> None:
        connection.execute("insert into saas.plans (plan, name, monthly_price) values ('secret', 'Secret', 1)")

    cells.write_global(PLANS, write)
    assert ("secret", "Secret") in cells.read_global(PLANS, plans, near=NEAR_EU).value
    copy = cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH)
    assert ("secret", "Secret") not in copy.value
    assert copy.complete_until
    assert copy.complete_until < datetime.now(UTC)
    # The copy differs from now on, so its record grows old and no comparison renews it.
    (plans_copy,) = [each for each in compare_copies("eu", compared.settings) if each.relation == "saas.plans"]
    assert plans_copy.complete_until is None
    assert "not the same" in plans_copy.reason
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == GLOBAL_HOME


def test_a_copy_that_somebody_changes_is_no_longer_known(compared: Region) -> None:
    assert set(known(compared, "eu")) == set(copied_relations()) == {"saas.plans", "geo.regions"}
    with compared.connect("eu") as loader, loader.transaction():
        load_plans(loader)
    assert "saas.plans" in known(compared, "eu")  # nothing was changed
    change(compared, "eu")
    assert set(known(compared, "eu")) == {"geo.regions"}
    note_copies("eu", compared.settings)
    assert set(known(compared, "eu")) == {"geo.regions"}
    with compared.connect("eu") as loader:
        loader.execute("delete from saas.plans where plan = 'secret'")
    note_copies("eu", compared.settings)
    assert set(known(compared, "eu")) == {"saas.plans", "geo.regions"}


def test_a_change_that_is_under_way_while_copies_are_compared_is_waited_for(compared: Region) -> None:
    with compared.connect("eu") as loader, loader.transaction():
        loader.execute("insert into saas.plans (plan, name, monthly_price) values ('secret', 'Secret', 1)")
        comparing = Running(lambda: compare_copies("eu", compared.settings))
        with compared.connect("eu", "superuser") as superuser:
            waiting = "select from pg_stat_activity where wait_event_type = 'Lock'"
            wait_for(lambda: superuser.execute(waiting).fetchone() is not None)
    assert comparing.ended().error is None
    assert "saas.plans" not in known(compared, "eu")


def test_home_has_no_copy_and_a_home_that_is_down_leaves_nothing_new_known(
    cells: PostgresCells, compared: Region
) -> None:
    assert compare_copies(GLOBAL_HOME, compared.settings) == ()
    before = known(compared, "eu")
    compared.kill(GLOBAL_HOME)
    assert [each.complete_until for each in note_copies("eu", compared.settings)] == [None, None]
    assert known(compared, "eu") == before
    # What is fresh is read although home is down; what is not cannot be.
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == "eu"
    age(compared, "eu", timedelta(hours=1))
    with pytest.raises(CellUnavailableError, match=GLOBAL_HOME):
        cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH)
    compared.revive()


def test_a_copy_that_cannot_be_reached_is_read_at_home(cells: PostgresCells, compared: Region) -> None:
    compared.kill("eu")
    assert cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH).cell == GLOBAL_HOME
    with pytest.raises(StaleReadError, match="eu"):
        cells.read_global(PLANS, plans, near=NEAR_EU, consistency=FRESH_OR_NOT_AT_ALL)
    compared.revive()
