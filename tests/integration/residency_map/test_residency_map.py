"""The residency map of a real cell: counted, kept, and written with what the others left."""

from uuid import uuid4

import pytest

from orchestration import migrations
from orchestration.cells import routing
from orchestration.cells.regions import CELLS
from orchestration.engines.local import LocalEngines
from orchestration.residency_map import cell_facts, page
from orchestration.settings import get_settings


@pytest.fixture(scope="module", autouse=True)
def migrated(engines: LocalEngines) -> None:
    assert engines
    for cell in CELLS:
        migrations.apply_all(cell)


def test_a_cell_is_counted_by_region_and_its_facts_are_read_again() -> None:
    settings = get_settings()
    person = uuid4()
    before = cell_facts.gather("eu", settings).people.get("persons", {}).get("eu", 0)
    with routing.connect("eu", "loader") as loader:
        loader.execute(
            "insert into geo.users (id, email, region, profile) values (%s, %s, 'eu', '{}')",
            (person, f"{person.hex}@example.org"),
        )
    try:
        facts = cell_facts.gather("eu", settings)
        assert facts.people["persons"]["eu"] == before + 1
        assert facts.unseen == {}
        assert facts.stores["database files"].count > 0
        cell_facts.keep(facts, settings)
        assert cell_facts.read("eu", settings) == facts
        assert person.hex not in cell_facts.facts_file("eu", settings).read_text()
    finally:
        with routing.connect("eu", "migrator") as migrator:
            migrator.execute("delete from geo.users where id = %s", (person,))


def test_the_page_has_every_cell_and_says_which_was_never_counted() -> None:
    settings = get_settings()
    for cell in CELLS:
        cell_facts.facts_file(cell, settings).unlink(missing_ok=True)
    written = page.update("eu", settings)
    text = written.read_text()
    assert "not counted yet" in text
    assert "persons, region eu" in text
    page.update("na", settings)
    page.update("apac", settings)
    assert "not counted yet" not in written.read_text()


def test_damaged_facts_are_no_facts() -> None:
    settings = get_settings()
    path = cell_facts.facts_file("apac", settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    assert cell_facts.read("apac", settings) is None
    path.write_text('{"cell": "apac", "stores": {}}')
    assert cell_facts.read("apac", settings) is None
    path.unlink()
