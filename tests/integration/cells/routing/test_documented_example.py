"""docs/routing.md shows code that runs."""

from typing import Any

from orchestration.cells.freshness import note_copies
from orchestration.cells.postgres_cells import PostgresCells
from orchestration.cells.regions import GLOBAL_HOME
from orchestration.settings import PROJECT_ROOT
from tests.integration.cells.routing.conftest import Region


def example() -> dict[str, Any]:
    page = (PROJECT_ROOT / "docs" / "routing.md").read_text()
    code = page.partition("<!-- example -->\n```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code, "docs/routing.md", "exec"), names)  # noqa: S102 -- the page's own example
    return names


def test_the_pages_example_renames_a_person_counts_orders_and_reads_plans_nearby(
    cells: PostgresCells, region: Region
) -> None:
    shown = example()
    person = region.new_person("eu")
    note_copies(GLOBAL_HOME, region.settings)
    assert shown["rename"](cells, person, "Ada", {"X-Region": "na"}) == "committed"
    assert region.profile("eu", person) == {"name": "Ada"}
    assert shown["orders"](cells, "shop-apac") == 0
    assert shown["plans"](cells, {"X-Region": "apac"}) == (["enterprise", "free", "pro", "starter"], "apac")
