"""dbt's targets: one per cell, each with its own variables and no other's."""

import re

import pytest
import yaml

from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.shell_environment import DBT_PROJECT_DIR

TEXT = (DBT_PROJECT_DIR / "profiles.yml").read_text()
PROFILE = yaml.safe_load(TEXT)["capstone"]


def test_there_is_one_target_per_cell() -> None:
    assert tuple(PROFILE["outputs"]) == CELLS


def test_there_is_no_default_cell() -> None:
    assert PROFILE["target"] == "{{ env_var('CAPSTONE_CELL') }}"


@pytest.mark.parametrize("cell", CELLS)
def test_a_target_reads_only_its_own_cells_variables(cell: Cell) -> None:
    read = set(re.findall(r"env_var\('([A-Z_]+)'", str(PROFILE["outputs"][cell])))
    assert read == {
        f"CAPSTONE_{cell.upper()}_{name}" for name in ("HOST", "PORT", "DATABASE", "TRANSFORMER_PASSWORD", "SSLMODE")
    }
    assert PROFILE["outputs"][cell]["user"] == "transformer"
