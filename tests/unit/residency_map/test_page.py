"""The residency map shows where data lives, and never takes an absent cell for an empty one."""

from datetime import UTC, datetime

from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.stores import stores
from orchestration.residency_map.cell_facts import CellFacts, Found
from orchestration.residency_map.page import as_html, people_rows

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def facts(cell: Cell, people: dict[str, dict[str, int]], **changes: object) -> CellFacts:
    values: dict[str, object] = {
        "cell": cell,
        "counted_at": "2026-03-01 12:00:00",
        "verdict": "green",
        "proven_at": "2026-03-01 12:00:00",
        "offenders": 0,
        "people": people,
        "stores": {"exports": Found(3, "files"), "events": Found(1200, "rows", estimated=True)},
        "unseen": {"queue": "Redis does not answer (ConnectionError)"},
    }
    return CellFacts(**values | changes)  # type: ignore[arg-type]


def square(rows: list, name: str, cell: Cell) -> tuple[str, str]:  # type: ignore[type-arg]
    row = next(each for each in rows if each.name == name)
    found = row.squares[CELLS.index(cell)]
    return found.text, found.state


def test_people_are_shown_where_they_are_and_named_where_they_may_not_be() -> None:
    rows = people_rows(
        {
            "na": facts("na", {"persons": {"na": 5, "eu": 2}}),
            "eu": facts("eu", {"persons": {"eu": 4000}, "sensitive data": {"eu": 7}}),
            "apac": None,
        }
    )
    assert square(rows, "persons, region na", "na") == ("5", "here")
    assert square(rows, "persons, region eu", "na") == ("2 that may not be here", "misplaced")
    assert square(rows, "persons, region eu", "eu") == ("4,000", "here")
    assert square(rows, "persons, region eu", "apac") == ("not counted yet", "unknown")
    assert square(rows, "sensitive data, region eu", "eu") == ("7", "here")
    assert next(row for row in rows if row.name == "persons, region eu").may_live == "eu"
    assert next(row for row in rows if row.name == "persons, region apac").may_live == "na, eu, apac"


def test_a_region_that_is_none_may_live_nowhere() -> None:
    rows = people_rows({"na": facts("na", {"staff": {"mars": 1}}), "eu": None, "apac": None})
    assert square(rows, "staff, region mars", "na") == ("1 that may not be here", "misplaced")


def test_sensitive_data_of_anybody_but_eu_residents_may_live_nowhere() -> None:
    rows = people_rows({"na": None, "eu": facts("eu", {"sensitive data": {"na": 1}}), "apac": None})
    assert square(rows, "sensitive data, region na", "eu") == ("1 that may not be here", "misplaced")


def test_every_store_is_on_the_page_and_what_could_not_be_looked_at_says_so() -> None:
    page = as_html(
        {"na": facts("na", {}, verdict="red", offenders=4), "eu": None, "apac": None},
        {"evidence": Found(0, "files")},
        {"run records": "cannot be looked at (CellUnavailableError)"},
        NOW,
    )
    for store in stores():
        assert f"<tr><td>{store.name}<" in page, store.name
    assert "about 1,200 rows" in page
    assert "3 files" in page
    assert "Redis does not answer (ConnectionError)" in page
    assert "cannot be looked at (CellUnavailableError)" in page
    assert "violated" in page
    assert "2026-03-01 12:00:00, 30 minutes ago, 4 offenders" in page
    assert page.count("never proven") == 2
