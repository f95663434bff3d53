"""The proof as Dagster runs it: blocking within the run, launched by the sensors, each cell by itself."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
import pytest

from orchestration.cells.regions import Cell
from orchestration.defs.governance import gate, sensors
from orchestration.defs.governance.gate import PROOF_TAG
from orchestration.defs.governance.sensors import evaluate
from orchestration.proofs.cell_shape import compare
from orchestration.proofs.inventory import inventory
from orchestration.settings import Settings

if TYPE_CHECKING:
    from tests.integration.proofs.conftest import ProofCells

ISOLATION, RESIDENCY = "tenant_isolation", "geo_residency"
STRAY = ("create table public.stray (x int)", "drop table public.stray")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    return dg.Definitions.merge(
        gate.defs(),
        sensors.defs(),
        dg.Definitions(assets=[_downstream("na"), _downstream("eu")], executor=dg.in_process_executor),
    )


def _downstream(cell: Cell) -> dg.AssetsDefinition:
    @dg.asset(key=[cell, "marts", "published"], deps=[gate.gate_key(cell)])
    def published() -> None: ...

    return published


def _run(definitions: dg.Definitions, cell: Cell, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = definitions.get_repository_def().get_implicit_global_asset_job_def()
    keys = [gate.gate_key(cell), dg.AssetKey([cell, "marts", "published"])]
    return job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False)


def test_a_red_check_stops_what_is_downstream_of_its_cell_and_of_no_other(
    world: "ProofCells", definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    with world.planted("na", *STRAY):
        red = _run(definitions, "na", instance)
        green = _run(definitions, "eu", instance)
    verdicts = {e.check_name: e for e in red.get_asset_check_evaluations()}
    assert not verdicts[ISOLATION].passed
    assert "public.stray (1)" in str(verdicts[ISOLATION].description)
    assert verdicts[RESIDENCY].passed
    assert not red.success
    assert not red.asset_materializations_for_node("na__marts__published")
    assert green.success
    assert green.asset_materializations_for_node("eu__marts__published")
    mended = _run(definitions, "na", instance)
    assert mended.success
    assert all(e.passed for e in mended.get_asset_check_evaluations() if e.blocking)


def test_the_gate_shows_what_the_cell_holds(
    world: "ProofCells", definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    result = _run(definitions, "eu", instance)
    [event] = result.asset_materializations_for_node("eu__governance__gate")
    table = event.metadata["inventory"]
    assert isinstance(table, dg.TableMetadataValue)
    names = {str(record.data["relation"]) for record in table.records}
    assert {"ecommerce.orders", "analytics.events", "geo.users"} <= names
    assert {each.name for each in inventory("eu", settings=world.settings)} == names


def test_the_proof_job_runs_the_checks_and_nothing_else(
    world: "ProofCells", definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert world
    result = definitions.resolve_job_def("proof_eu").execute_in_process(instance=instance)
    assert {e.check_name for e in result.get_asset_check_evaluations()} == {ISOLATION, RESIDENCY}
    assert result.get_asset_materialization_events() == []


def _tick(instance: dg.DagsterInstance, suite: str, cursor: str | None = None) -> dg.SensorResult:
    return evaluate(suite, dg.build_sensor_context(instance=instance, cursor=cursor))


def _launched(result: dg.SensorResult) -> dict[str, str]:
    return {str(r.job_name): str(r.tags["capstone/cause"]) for r in result.run_requests or []}


def test_a_catalog_change_launches_that_cells_proof_at_once_and_only_its(
    world: "ProofCells", instance: dg.DagsterInstance
) -> None:
    for cell in ("na", "eu", "apac"):
        world.prove(cell)
    quiet = _tick(instance, ISOLATION)
    assert _launched(quiet) == {}
    assert "nothing changed" in str(quiet.skip_reason)
    with world.planted("na", *STRAY):
        assert _launched(_tick(instance, ISOLATION, quiet.cursor)) == {"proof_na": "the catalog changed"}
        left = _tick(instance, RESIDENCY, quiet.cursor)
        assert _launched(left) == {}
        assert "left to tenant_isolation_sensor" in str(left.skip_reason)
        assert _launched(_tick(instance, RESIDENCY, left.cursor)) == {"proof_na": "the catalog changed"}
    assert len(str(quiet.cursor)) < 1000


def test_misplaced_people_launch_the_residency_sensors_proof_at_once(
    world: "ProofCells", instance: dg.DagsterInstance
) -> None:
    for cell in ("na", "eu", "apac"):
        world.prove(cell)
    world.misplace("apac", "insert into geo.users (email, region) values ('m4rk3r-eu', 'eu')")
    try:
        tick = _tick(instance, RESIDENCY)
        assert _launched(tick) == {"proof_apac": "misplaced people changed"}
        world.prove("apac")
        assert _launched(_tick(instance, RESIDENCY, tick.cursor)) == {}
    finally:
        world.execute("apac", "delete from geo.users where email = 'm4rk3r-eu'")
    assert _launched(_tick(instance, RESIDENCY)) == {"proof_apac": "misplaced people changed"}
    world.prove("apac")


def test_no_second_proof_is_launched_while_one_is_under_way(world: "ProofCells", instance: dg.DagsterInstance) -> None:
    with world.planted("na", *STRAY):
        run = dg.DagsterRun(job_name="proof_na", tags={PROOF_TAG: "na"}, status=dg.DagsterRunStatus.STARTED)
        instance.add_run(run)
        tick = _tick(instance, ISOLATION)
    assert "proof_na" not in _launched(tick)
    assert json.loads(str(tick.cursor))


def test_a_cell_that_is_away_is_reported_and_stops_no_other(
    world: "ProofCells", instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.settings import get_settings

    for cell in ("na", "apac"):
        world.prove(cell)
    monkeypatch.setenv("CAPSTONE_DSN_EU", "postgresql://postgres:secret-word@127.0.0.1:1/eu")
    get_settings.cache_clear()
    try:
        with world.planted("na", *STRAY):
            assert _launched(_tick(instance, ISOLATION)) == {"proof_na": "the catalog changed"}
        quiet = _tick(instance, ISOLATION)
        assert "'eu' at 127.0.0.1:1 cannot be used" in str(quiet.skip_reason)
        assert "secret-word" not in str(quiet.skip_reason)
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_the_cells_have_the_same_shape_until_one_has_another(world: "ProofCells") -> None:
    assert compare("na", settings=world.settings).differences == ()
    with world.planted("eu", *STRAY):
        comparison = compare("na", settings=world.settings)
    assert {each.cells for each in comparison.differences} == {("eu",)}
    assert "public.stray" in comparison.describe()


def test_a_missing_cell_is_said_and_not_compared(world: "ProofCells") -> None:
    from pydantic import SecretStr

    gone: Settings = world.settings.model_copy(
        update={"dsn_apac": SecretStr("postgresql://postgres:x@127.0.0.1:1/apac")}
    )
    comparison = compare("na", settings=gone)
    assert dict(comparison.absent) == {"apac": "cannot be reached"}
    assert comparison.compared == ("eu",)
