"""A bundle has everything about one person and nothing of anybody else, or there is none."""

import csv
import json
import secrets
import stat
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from orchestration.cells.journal import OperationError, StepProgress, operation
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.cells.stores import stores
from orchestration.persons import bundle
from orchestration.persons.access import access_person
from orchestration.persons.anonymous import anonymous_person
from orchestration.persons.bundle import BundleError
from orchestration.persons.live_entries import LiveEntriesError
from orchestration.persons.operations import NOBODY, PERSONS, list_operations
from orchestration.persons.whereabouts import PersonError, UnknownPersonError, find_by_email, locate, parse_person
from orchestration.tenancy import archive
from tests.integration.persons.people import SHOPPER, Someone, someone
from tests.integration.tenancy.life.conftest import LifeCells
from tests.integration.tenancy.life.test_moves import KilledError, kill_at

STEPS = ("write", "publish", "verify", "forget")


@pytest.fixture(scope="module")
def person(life: LifeCells) -> Someone:
    return someone(life, "eu", mark=secrets.token_hex(8))


def exports(life: LifeCells, cell: Cell = "eu") -> list[Path]:
    return archive.bundles(cell, life.settings)


def test_a_bundle_has_every_row_about_the_person_from_every_place(life: LifeCells, person: Someone) -> None:
    done = access_person(person.id, settings=life.settings)

    manifest = bundle.read(done.path)
    assert manifest["cells"] == ["eu"]
    rows = {(each.relation, each.tenant): each.rows for each in done.files}
    for tenant in person.tenants:
        for relation, count in {
            "ecommerce.users": 1,
            "ecommerce.addresses": 1,
            "ecommerce.carts": 1,
            "ecommerce.cart_items": 1,
            "ecommerce.orders": 1,
            "ecommerce.order_items": 1,
            "ecommerce.payments": 1,
            "ecommerce.reviews": 1,
            "saas.users": 1,
            "saas.projects": 1,
            "analytics.events": 12,
            "analytics.events_history": 1,
            "analytics.event_ids": 1,
        }.items():
            assert rows[relation, str(tenant.id)] == count, relation
    assert [each.rows for each in done.files if each.relation == "geo.eu_user_data"] == [1, 1]
    live = {each.store: each.rows for each in done.files if each.relation == "redis"}
    assert live == {"counters": 3, "queue": 6}
    text = "".join((done.path / each.json).read_text() for each in done.files)
    assert "somebody-else" not in text
    assert f"hash {person.mark}" not in text
    assert "withheld" in text
    for each in done.files:
        said = json.loads((done.path / each.json).read_text())
        with (done.path / each.csv).open(newline="") as file:
            read = list(csv.DictReader(file))
        assert len(said) == len(read) == each.rows
        assert [column.name for column in each.columns] == list(said[0])
        assert all(column.description for column in each.columns if each.relation != "redis")
    told = {entry["store"]: entry for entry in manifest["stores"]}
    assert told.keys() == {each.name for each in stores()}
    assert told["events"]["rows"] == sum(n for (r, _), n in rows.items() if r.startswith("analytics.event"))
    assert told["models"]["rows"] == 0
    assert told["shops"]["purpose"]


def test_a_formula_in_a_name_is_none_in_the_csv_and_exact_in_the_json(life: LifeCells, person: Someone) -> None:
    done = access_person(person.id, settings=life.settings)
    users = next(each for each in done.files if each.relation == "ecommerce.users")
    name = f"={person.mark}()"
    assert json.loads((done.path / users.json).read_text())[0]["first_name"] == name
    with (done.path / users.csv).open(newline="") as file:
        row = next(csv.DictReader(file))
    assert row["first_name"] == f"'{name}"
    assert row["last_name"] == f"O'{person.mark}; -- "
    profile = next(each for each in done.files if each.relation == "geo.users")
    assert "$..[?(@)]" in json.loads((done.path / profile.json).read_text())[0]["profile"]


def test_a_bundle_is_closed_to_others_ends_in_a_month_and_names_nobody_in_the_journal(
    life: LifeCells, person: Someone
) -> None:
    done = access_person(person.id, settings=life.settings)
    assert stat.S_IMODE(done.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in done.path.iterdir()} == {0o600}
    assert str(person.id) not in done.path.name
    assert life.rows("eu", "select from platform.person_operations where person_id <> %s", (NOBODY,)) == []
    newest = list_operations(["eu"], settings=life.settings)[0]
    assert (newest.verb, newest.state, newest.counts["rows"]) == ("access", "done", done.rows)
    assert newest.is_of(person.id)
    assert not newest.is_of(uuid4())
    before = exports(life)
    assert bundle.remove_expired("eu", life.settings) == 0
    access_person(person.id, settings=life.settings, kept_days=0)
    assert bundle.remove_expired("eu", life.settings) == 1
    assert exports(life) == before


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("moment", ["started", "worked", "finished"])
def test_a_killed_access_leaves_no_half_bundle_and_ends_when_it_is_repeated(
    life: LifeCells, person: Someone, step: str, moment: str
) -> None:
    with pytest.raises(KilledError):
        access_person(person.id, settings=life.settings, progress=kill_at(moment, step))
    done = access_person(person.id, settings=life.settings)
    assert bundle.verify(done.path) == done
    assert [each for each in exports(life) if each.name.startswith(".")] == []
    assert life.rows("eu", "select from platform.person_operations where state <> 'done'") == []


def test_a_bundle_is_one_snapshot(life: LifeCells, person: Someone) -> None:
    tenant = person.tenants[0]

    def write_meanwhile(_: StepProgress) -> None:
        with life.connect("eu") as connection, connection.transaction():
            connection.execute("select set_config('app.fence_pass', 'test', true)")
            connection.execute("update ecommerce.carts set status = 'abandoned' where tenant_id = %s", (tenant.id,))

    done = access_person(person.id, settings=life.settings, progress=write_meanwhile)
    carts = [each for each in done.files if each.relation == "ecommerce.carts" and each.tenant == str(tenant.id)]
    assert json.loads((done.path / carts[0].json).read_text())[0]["status"] == "abandoned"


@pytest.mark.parametrize("cell", ["na", "eu"])
def test_a_cell_that_is_down_is_named_and_nothing_is_left(life: LifeCells, person: Someone, cell: Cell) -> None:
    before = exports(life)
    nobody = type(life.settings.dsn_na)("postgresql://postgres:x@127.0.0.1:1/x")  # type: ignore[misc]
    away = life.settings.model_copy(update={f"dsn_{cell}": nobody})
    with pytest.raises(CellUnavailableError, match=f"'{cell}' at 127.0.0.1:1 cannot be used"):
        access_person(person.id, settings=away)
    assert exports(life) == before


def test_a_redis_that_is_down_is_named_and_nothing_is_left(life: LifeCells, person: Someone) -> None:
    before = exports(life)
    nobody = type(life.settings.dsn_na)("redis://127.0.0.1:1/0")  # type: ignore[misc]
    with pytest.raises(LiveEntriesError, match="Redis of cell 'eu' does not answer"):
        access_person(person.id, settings=life.settings.model_copy(update={"redis_url_eu": nobody}))
    assert exports(life) == before
    access_person(person.id, settings=life.settings)


def test_two_at_once_are_refused(life: LifeCells, person: Someone) -> None:
    with (
        operation(PERSONS, "eu", person.id, "access", settings=life.settings),
        pytest.raises(OperationError, match="another process is at work on person"),
    ):
        access_person(person.id, settings=life.settings)
    access_person(person.id, settings=life.settings)


def test_a_changed_bundle_is_found(life: LifeCells, person: Someone) -> None:
    done = access_person(person.id, settings=life.settings)
    file = done.path / done.files[0].csv
    file.write_text(file.read_text() + "\n")
    with pytest.raises(BundleError, match="is not what was written"):
        bundle.verify(done.path)


def test_a_person_is_found_by_address_within_a_cell_alone(life: LifeCells, person: Someone) -> None:
    assert find_by_email(f"  {person.email.upper()}\n", "eu", life.settings) == person.id
    with pytest.raises(UnknownPersonError, match="nobody in cell 'na'") as unknown:
        find_by_email(person.email, "na", life.settings)
    assert person.mark not in str(unknown.value)
    with pytest.raises(PersonError, match="is none"):
        find_by_email("%", "eu", life.settings)
    life.execute(
        "eu", "update geo.users set email = %s where id = md5(%s || 2)::uuid", (person.email, str(person.tenants[0].id))
    )
    with pytest.raises(PersonError, match="2 persons of cell 'eu' have this e-mail address: give the id of one"):
        find_by_email(person.email, "eu", life.settings)
    life.execute(
        "eu", "update geo.users set email = 'x@example.com' where id = md5(%s || 2)::uuid", (str(person.tenants[0].id),)
    )


def test_who_is_nobody_is_said(life: LifeCells) -> None:
    with pytest.raises(UnknownPersonError, match="no cell knows person"):
        access_person(uuid4(), settings=life.settings)
    with pytest.raises(UnknownPersonError, match="it is nobody's"):
        locate(anonymous_person("eu"), life.settings)
    for wrong in ("jane.roe@example.com", "{12345678-1234-1234-1234-123456789012}", ""):
        with pytest.raises(PersonError) as refused:
            parse_person(wrong)
        assert not wrong or wrong not in str(refused.value)


def test_a_tenant_that_is_erased_takes_bundles_with_its_rows_along(life: LifeCells, person: Someone) -> None:
    access_person(person.id, settings=life.settings)
    assert archive.bundles_naming(person.tenants[0].id, life.settings)
    assert archive.bundles_naming(uuid4(), life.settings) == []


def test_numbers_of_the_person_are_what_they_should_be(life: LifeCells, person: Someone) -> None:
    found = locate(person.id, life.settings)
    assert {each.shoppers for each in found.accounts} == {(SHOPPER,)}
    assert found.home == "eu"
    assert set(found.tenants) == {each.id for each in person.tenants}
    with pytest.raises(psycopg.Error), life.connect("eu", "app") as app:
        app.execute("select * from platform.person_operations")
