"""What Dagster is given: blocking checks per cell, in the cell's pool, jobs that do nothing else, sensors that run."""

import subprocess
import sys

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS, Cell
from orchestration.defs.governance import gate, sensors
from orchestration.defs.governance.sensors import Memory, remembered, run_key


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    definitions = dg.Definitions.merge(gate.defs(), sensors.defs(), dg.Definitions(executor=dg.in_process_executor))
    return definitions.get_repository_def()


def test_each_cell_has_two_blocking_checks_and_one_that_blocks_nothing(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    blocking = {key.to_user_string(): graph.get_check_spec(key).blocking for key in graph.asset_check_keys}
    assert blocking == {
        f"{cell}/governance/gate:{name}": name != "same_shape_as_other_cells"
        for cell in CELLS
        for name in ("tenant_isolation", "geo_residency", "same_shape_as_other_cells")
    }


@pytest.mark.parametrize("cell", CELLS)
def test_gate_and_proof_take_turns_with_dbt_in_the_cells_pool(cell: Cell) -> None:
    assert gate.gate_asset(cell).op.pool == f"cell_{cell}"
    assert gate.proof_checks(cell).op.pool == f"cell_{cell}"


@pytest.mark.parametrize("cell", CELLS)
def test_a_proof_job_runs_both_checks_in_one_step_and_no_asset(repository: dg.RepositoryDefinition, cell: Cell) -> None:
    job = repository.get_job(f"proof_{cell}")
    assert [node.name for node in job.nodes] == [f"{cell}_proof"]
    assert job.executor_def.name == "in_process"
    assert job.tags["dagster/max_retries"] == "0"


def test_both_sensors_run_by_default_and_twice_a_minute_at_least(repository: dg.RepositoryDefinition) -> None:
    found = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(found) == {"tenant_isolation_sensor", "geo_residency_sensor"}
    for sensor in found.values():
        assert sensor.default_status == dg.DefaultSensorStatus.RUNNING
        assert (sensor.minimum_interval_seconds or 999) <= 30


def test_a_run_key_never_repeats_once_a_verdict_or_half_a_minute_has_passed() -> None:
    first = run_key("na", "the catalog changed", "a" * 64, "11111111-1", 1000.0)
    assert first == run_key("na", "the catalog changed", "a" * 64, "11111111-1", 1001.0)
    assert first != run_key("na", "the catalog changed", "a" * 64, "22222222-2", 1000.0)
    assert first != run_key("na", "the catalog changed", "b" * 64, "11111111-1", 1000.0)
    assert first != run_key("na", "the catalog changed", "a" * 64, "11111111-1", 1031.0)


@pytest.mark.parametrize("cursor", [None, "", "{", "[]", "3", '{"na": {"unknown": 1}}', '{"na": 1}'])
def test_a_cursor_that_cannot_be_read_is_no_memory_and_no_failure(cursor: str | None) -> None:
    assert remembered(cursor) == {}


def test_a_cursor_is_remembered() -> None:
    assert remembered('{"na": {"proof": "p", "baseline": 1, "movement": 2, "left": true}}') == {
        "na": Memory("p", 1, 2, left=True)
    }


def test_definitions_load_without_anything_heavy() -> None:
    code = (
        "import sys; from orchestration.defs.governance import gate, sensors; gate.defs(); sensors.defs();"
        "heavy = {'great_expectations', 'polars', 'pyarrow', 'pandas'} & set(sys.modules); print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
