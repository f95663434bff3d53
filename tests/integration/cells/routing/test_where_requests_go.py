"""Requests go where the person, the tenant, the region or the header says, and find those who moved."""

from typing import Any
from uuid import uuid4

import pytest

from orchestration.cells.outcome import Connection
from orchestration.cells.person_homes import PersonHomeError, PersonMovedError, UnknownPersonError
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.region_choice import MisplacedPersonError, NoRegionError, RegionConflictError, Subject
from orchestration.cells.regional_database import RegionalDatabase
from orchestration.cells.regions import CELLS, Cell, UnknownCellError
from orchestration.cells.tenant_context import MalformedTenantError, UnknownTenantError
from tests.integration.cells.routing.conftest import Region, Running, wait_for


def which_cell(connection: Connection) -> Any:
    row = connection.execute("select cell from platform.cell").fetchone()
    return row and row[0]


def which_role(connection: Connection) -> Any:
    row = connection.execute("select current_user").fetchone()
    return row and row[0]


def renamed(name: str, person: Any) -> Any:
    def work(connection: Connection) -> Any:
        connection.execute(
            "update geo.users set profile = jsonb_build_object('name', %s::text) where id = %s", (name, person)
        )

    return work


def projects(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute("select name from saas.projects where name <> 'held'")]


@pytest.mark.parametrize("cell", CELLS)
def test_a_request_is_answered_by_the_cell_that_it_is_about(
    cells: RegionalDatabase, region: Region, cell: Cell
) -> None:
    person = region.new_person(cell)
    elsewhere = {"X-Region": CELLS[CELLS.index(cell) - 1]}
    for subject in (
        Subject(region=cell, headers=elsewhere),
        Subject(headers={"x-region": cell}),
        Subject(person=person, headers=elsewhere),
    ):
        assert cells.read(subject, which_cell) == cell
        assert cells.read(subject, which_role) == "auditor"
        assert cells.write(subject, which_cell) == cell
        assert cells.write(subject, which_role) == "loader"
    for tenant in (region.tenants[cell], str(region.tenants[cell]), f"shop-{cell}"):
        assert cells.read(Subject(tenant=tenant, headers=elsewhere), projects) == [cell]
        assert cells.write(Subject(tenant=tenant), which_role) == "app"


def test_a_write_to_a_person_is_stored_at_home_whatever_the_header_says(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("eu")
    cells.write(Subject(person=person, headers={"X-Region": "na"}), renamed("Ada", person))
    assert region.profile("eu", person) == {"name": "Ada"}
    assert [region.profile(cell, person) for cell in CELLS if cell != "eu"] == [None, None]


def test_what_contradicts_itself_is_sent_nowhere(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("eu")
    with pytest.raises(RegionConflictError):
        cells.write(Subject(person=person, region="na"), renamed("Ada", person))
    with pytest.raises(RegionConflictError):
        cells.read(Subject(tenant=region.tenants["apac"], region="eu"), projects)
    with pytest.raises(MisplacedPersonError, match="only a tenant in eu"):
        cells.write(Subject(person=person, tenant=region.tenants["na"]), projects)
    assert region.profile("eu", person) == {}


@pytest.mark.parametrize("name", ["", " ", "EU", " eu", "us", "us-east-1"])
def test_a_region_that_is_none_is_an_error_whoever_it_is_about(cells: PostgresCells, region: Region, name: str) -> None:
    person = region.new_person("eu")
    for given in ({"region": name}, {"headers": {"X-Region": name}}):
        for about in ({}, {"person": person}, {"tenant": "shop-eu"}):
            with pytest.raises(UnknownCellError, match="na, eu, apac"):
                cells.read(Subject(**about, **given), which_cell)


def test_nothing_and_nobody_are_errors_of_their_own(cells: PostgresCells) -> None:
    with pytest.raises(NoRegionError):
        cells.read(Subject(), which_cell)
    with pytest.raises(UnknownPersonError):
        cells.read(Subject(person=uuid4()), which_cell)
    with pytest.raises(UnknownTenantError):
        cells.read(Subject(tenant=uuid4()), projects)
    with pytest.raises(MalformedTenantError):
        cells.read(Subject(tenant="No Such Shop"), projects)


def test_a_person_with_a_record_in_two_cells_is_at_home_in_their_region(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("apac")
    region.new_person("eu", "apac", person)
    assert cells.choose(Subject(person=person)).cell == "apac"
    assert cells.read(Subject(person=person, tenant="shop-eu"), projects) == ["eu"]


def test_a_person_who_is_at_home_twice_is_written_nowhere(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("na")
    region.new_person("eu", "eu", person)
    with pytest.raises(PersonHomeError, match="na and eu"):
        cells.write(Subject(person=person), renamed("Ada", person))


def moved(region: Region, person: Any, old: Cell, new: Cell) -> None:
    """As a move ends: the record is taken away in the old home, having been made in the new one."""
    with region.connect(old) as loader, loader.transaction():
        loader.execute("select from geo.users where id = %s for update", [person])
        region.new_person(new, person=person)
        loader.execute("delete from geo.users where id = %s", [person])


def test_a_move_is_noticed_although_the_old_home_is_still_kept(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("na")
    assert cells.read(Subject(person=person), which_cell) == "na"
    moved(region, person, "na", "eu")
    assert cells.read(Subject(person=person), which_cell) == "eu"
    moved(region, person, "eu", "apac")
    cells.write(Subject(person=person), renamed("Ada", person))
    assert [region.profile(cell, person) for cell in CELLS] == [None, None, {"name": "Ada"}]


def test_a_region_of_record_that_changes_in_place_is_noticed(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("na")
    cells.read(Subject(person=person), which_cell)
    with region.connect("na") as loader:
        loader.execute("update geo.users set region = 'apac' where id = %s", [person])
    # No record at the new home yet: the one in na is the only one, and what is kept says otherwise.
    assert cells.choose(Subject(person=person)).cell == "na"
    assert cells.read(Subject(person=person), which_cell) == "na"
    region.new_person("apac", person=person)
    cells.forget(Subject(person=person))
    assert cells.read(Subject(person=person), which_cell) == "apac"


def test_a_move_waits_for_a_write_that_has_begun_and_the_write_is_in_the_old_home_before_it(
    cells: PostgresCells, region: Region
) -> None:
    person = region.new_person("na")
    moving: list[Running] = []

    def work(connection: Connection) -> None:
        moving.append(Running(lambda: moved_with_profile(region, person, "na", "eu")))
        wait_for(lambda: waits_for_a_lock(region, "na"))
        renamed("Ada", person)(connection)

    cells.write(Subject(person=person), work)
    assert moving[0].ended().error is None
    assert [region.profile(cell, person) for cell in CELLS] == [None, {"name": "Ada"}, None]


def moved_with_profile(region: Region, person: Any, old: Cell, new: Cell) -> None:
    with region.connect(old) as loader, loader.transaction():
        row = loader.execute("select profile::text from geo.users where id = %s for update", [person]).fetchone()
        region.new_person(new, person=person)
        with region.connect(new) as target:
            target.execute("update geo.users set profile = %s::jsonb where id = %s", (row and row[0], person))
        loader.execute("delete from geo.users where id = %s", [person])


def waits_for_a_lock(region: Region, cell: Cell) -> bool:
    with region.connect(cell, "superuser") as superuser:
        return superuser.execute("select from pg_stat_activity where wait_event_type = 'Lock'").fetchone() is not None


def test_a_write_that_waits_for_a_move_goes_to_the_new_home(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("na")
    calls: list[Any] = []

    def work(connection: Connection) -> None:
        calls.append(which_cell(connection))
        renamed("Ada", person)(connection)

    assert cells.read(Subject(person=person), which_cell) == "na"
    with region.connect("na") as loader, loader.transaction():
        loader.execute("select from geo.users where id = %s for update", [person])
        writing = Running(lambda: cells.write(Subject(person=person), work))
        wait_for(lambda: waits_for_a_lock(region, "na"))
        region.new_person("eu", person=person)
        loader.execute("delete from geo.users where id = %s", [person])
    assert writing.ended().error is None
    assert calls == ["eu"]
    assert [region.profile(cell, person) for cell in CELLS] == [None, {"name": "Ada"}, None]


def test_a_write_of_a_person_who_is_erased_meanwhile_fails_and_stores_nothing(
    cells: PostgresCells, region: Region
) -> None:
    person = region.new_person("na")
    cells.read(Subject(person=person), which_cell)
    with region.connect("na") as loader:
        loader.execute("delete from geo.users where id = %s", [person])
    with pytest.raises(UnknownPersonError):
        cells.write(Subject(person=person), renamed("Ada", person))


def test_a_tenants_write_about_a_person_holds_the_person_until_it_is_committed(
    cells: PostgresCells, region: Region
) -> None:
    person = region.new_person("na")
    deleting: list[Running] = []

    def delete() -> None:
        with region.connect("na") as loader:
            loader.execute("delete from geo.users where id = %s", [person])

    def work(connection: Connection) -> None:
        deleting.append(Running(delete))
        wait_for(lambda: waits_for_a_lock(region, "na"))
        connection.execute("insert into saas.projects (name) values ('held')")

    cells.write(Subject(person=person, tenant="shop-na"), work)
    assert deleting[0].ended().error is None
    assert region.profile("na", person) is None


def test_a_tenants_write_about_a_person_without_a_record_in_its_cell_is_refused(
    cells: PostgresCells, region: Region
) -> None:
    person = region.new_person("apac")
    with pytest.raises(PersonMovedError, match="has no record there"):
        cells.write(
            Subject(person=person, tenant="shop-na"),
            lambda connection: connection.execute("insert into saas.projects (name) values ('nobody')"),
        )
    assert cells.read(Subject(tenant="shop-na"), projects).count("nobody") == 0


def test_a_read_cannot_write(cells: PostgresCells, region: Region) -> None:
    person = region.new_person("na")
    for subject, statement in (
        (Subject(person=person), "update geo.users set profile = '{}'"),
        (Subject(tenant="shop-na"), "insert into saas.projects (name) values ('x')"),
    ):
        with pytest.raises(Exception, match=r"read-only|permission denied"):
            cells.read(subject, lambda connection, text=statement: connection.execute(text.encode()))  # type: ignore[misc]


def test_a_tenant_that_has_moved_is_found_in_its_new_cell(cells: PostgresCells, region: Region) -> None:
    tenant = uuid4()
    arrive = "insert into saas.tenants (id, name, subdomain, plan) values (%s, 'M', %s, 'enterprise')"
    with region.connect("na") as loader:
        loader.execute(arrive, (tenant, f"m{tenant.hex[:8]}"))
    assert cells.read(Subject(tenant=tenant), lambda _: cells.choose(Subject(tenant=tenant)).cell) == "na"
    with region.connect("na") as loader:
        loader.execute("delete from saas.tenants where id = %s", [tenant])
    with region.connect("apac") as loader:
        loader.execute(arrive, (tenant, f"m{tenant.hex[:8]}"))
    cells.read(Subject(tenant=tenant), projects)
    assert cells.choose(Subject(tenant=tenant)).cell == "apac"
