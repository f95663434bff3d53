"""One cell's compilation serves every cell of the same tables, and no other."""

import json
from pathlib import Path

import pytest

from orchestration.cells.regions import Cell
from orchestration.lineage import compiling
from orchestration.settings import Settings


class Recorded:
    """Stands in for dbt and the cells' catalogs: what is tested is who compiles and who reads."""

    def __init__(self) -> None:
        self.runs: list[Cell] = []
        self.tables: dict[Cell, str] = {"na": "one", "eu": "one", "apac": "one"}
        self.fails = False

    def made_of(self, cell: Cell, _settings: Settings) -> str:
        return self.tables[cell]

    def compile(self, cell: Cell, target: Path, _arguments: tuple[str, ...], _settings: Settings) -> None:
        if self.fails:
            raise compiling.CompileError("it cannot")
        self.runs.append(cell)
        target.mkdir(exist_ok=True)
        manifest = {"metadata": {"invocation_id": "x"}, "nodes": {}, "cell": cell}
        (target / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def dbt(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    recorded = Recorded()
    monkeypatch.setattr(compiling, "_made_of", recorded.made_of)
    monkeypatch.setattr(compiling, "_compile", recorded.compile)
    return recorded


def cells_read(cell: Cell, settings: Settings) -> set[str]:
    return {str(manifest["cell"]) for manifest in compiling.compiled(cell, settings)}


def test_cells_of_the_same_tables_compile_once(tmp_path: Path, dbt: Recorded) -> None:
    settings = Settings(home=tmp_path)
    assert cells_read("eu", settings) == cells_read("na", settings) == cells_read("apac", settings) == {"eu"}
    assert dbt.runs == ["eu"] * len(compiling.WAYS)


def test_a_cell_of_other_tables_compiles_for_itself(tmp_path: Path, dbt: Recorded) -> None:
    settings = Settings(home=tmp_path)
    dbt.tables["na"] = "two"
    assert cells_read("eu", settings) == {"eu"}
    assert cells_read("na", settings) == {"na"}
    assert cells_read("apac", settings) == {"eu"}


def test_what_was_compiled_of_an_older_state_serves_nobody(tmp_path: Path, dbt: Recorded) -> None:
    settings = Settings(home=tmp_path)
    assert cells_read("eu", settings) == {"eu"}
    dbt.tables = dict.fromkeys(dbt.tables, "two")
    assert cells_read("apac", settings) == {"apac"}
    assert cells_read("eu", settings) == {"apac"}


def test_a_compilation_that_failed_is_not_taken_for_one(tmp_path: Path, dbt: Recorded) -> None:
    settings = Settings(home=tmp_path)
    assert cells_read("eu", settings) == {"eu"}
    dbt.tables = dict.fromkeys(dbt.tables, "two")
    dbt.fails = True
    for _ in range(2):
        with pytest.raises(compiling.CompileError):
            compiling.compiled("eu", settings)
    dbt.tables = dict.fromkeys(dbt.tables, "one")
    with pytest.raises(compiling.CompileError):
        compiling.compiled("na", settings)
