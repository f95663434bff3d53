"""Every kind of leak is named with its path; none survives. The same are planted in the compiled project itself."""

from typing import Any

import pytest
import yaml

from orchestration.lineage.check import Lineage, prove
from orchestration.lineage.project import Project
from orchestration.settings import PROJECT_ROOT
from tests.unit.lineage.conftest import Plant

LEAKS: list[dict[str, Any]] = yaml.safe_load((PROJECT_ROOT / "tests" / "cases" / "lineage_leaks.yml").read_text())
FEWEST = 90
K = 10


def is_named(found: Lineage, planted: dict[str, Any]) -> bool:
    """Return whether what was planted is among what was found."""
    if "unproven" in planted:
        return any(each.where == "marts.leak" and planted["unproven"] in each.reason for each in found.unproven)
    column = None if planted["column"] == "rows" else planted["column"]
    return any(
        str(leak.origin) == planted["from"]
        and leak.column == column
        and all(any(place in hop for hop in leak.path) for place in planted["through"])
        for leak in found.leaks
    )


def test_the_project_is_proven_before_anything_is_planted(staging: Project) -> None:
    found = prove(staging, k=K)
    assert found.holds, "\n".join(map(str, (*found.leaks, *found.unproven)))
    assert found.models == len(staging.models)


@pytest.mark.parametrize("planted", LEAKS, ids=[each["name"] for each in LEAKS])
def test_a_planted_leak_is_named_with_its_path(plant: Plant, planted: dict[str, Any]) -> None:
    found = prove(plant(planted["sql"], planted.get("more"), planted.get("declared")), k=K)
    assert not found.holds
    assert is_named(found, planted), "\n".join(map(str, (*found.leaks, *found.unproven)))


def test_there_are_many_leaks_each_with_a_name_of_its_own() -> None:
    names = [each["name"] for each in LEAKS]
    assert len(names) == len(set(names)) >= FEWEST
