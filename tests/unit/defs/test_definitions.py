"""What Dagster sees: the whole list of keys, and what every asset has to say of itself."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS
from orchestration.definitions import defs
from orchestration.settings import PROJECT_ROOT

SNAPSHOT = Path(__file__).with_name("definitions.snapshot.txt")
# Set to write the snapshot instead of comparing with it.
UPDATE = "UPDATE_SNAPSHOTS"

# They take seconds to import and are needed only inside a run.
HEAVY = ("great_expectations", "dbt.version", "polars", "pandas", "pyarrow", "matplotlib", "numpy")


@pytest.fixture(scope="module")
def repository() -> dg.RepositoryDefinition:
    return defs().get_repository_def()


@pytest.fixture(scope="module")
def specs(repository: dg.RepositoryDefinition) -> dict[dg.AssetKey, dg.AssetSpec]:
    return {
        spec.key: spec
        for definition in repository.assets_defs_by_key.values()
        for spec in definition.specs
        if definition.is_materializable
    }


def listing(repository: dg.RepositoryDefinition) -> str:
    """Return every key, one a line, sorted."""
    graph = repository.asset_graph
    lines = [f"asset {key.to_user_string()}" for key in graph.get_all_asset_keys()]
    lines += [f"check {key.asset_key.to_user_string()} {key.name}" for key in graph.asset_check_keys]
    lines += [f"sensor {sensor.name} {sensor.default_status.value}" for sensor in repository.sensor_defs]
    lines += [f"schedule {one.name} {one.cron_schedule} {one.default_status.value}" for one in repository.schedule_defs]
    lines += [f"job {job.name}" for job in repository.get_all_jobs()]
    return "\n".join(sorted(lines)) + "\n"


def test_the_list_of_keys_is_the_one_that_was_reviewed(repository: dg.RepositoryDefinition) -> None:
    found = listing(repository)
    if os.environ.get(UPDATE):
        SNAPSHOT.write_text(found)
    assert found == SNAPSHOT.read_text(), (
        f"the definitions have other keys than {SNAPSHOT.name}: if that is meant, write it anew with\n"
        f"    {UPDATE}=1 .venv/bin/python -m pytest {Path(__file__).relative_to(PROJECT_ROOT)}\n"
        "and review the difference"
    )


def test_the_cells_have_the_same_assets(repository: dg.RepositoryDefinition) -> None:
    keys = repository.asset_graph.get_all_asset_keys()
    by_cell = {cell: {tuple(key.path[1:]) for key in keys if key.path[0] == cell} for cell in CELLS}
    # The one real input belongs to a merchant, and a merchant lives in exactly one cell.
    assert by_cell["na"] - by_cell["eu"] == {("ingest", "cdnow")}
    assert by_cell["eu"] == by_cell["apac"]


def test_every_asset_is_described_owned_grouped_and_of_a_kind(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    bare = {
        key.to_user_string()
        for key, spec in specs.items()
        if not (spec.description and spec.owners and spec.kinds and spec.group_name != "default")
    }
    assert not bare


def test_every_group_is_a_cells_layer(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for key, spec in specs.items():
        assert (spec.group_name or "").startswith(f"{key.path[0]}_"), key


def test_no_asset_depends_on_another_cell(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    for key, spec in specs.items():
        if key.path[0] in CELLS:
            assert {dep.asset_key.path[0] for dep in spec.deps} <= {key.path[0]}, key


def test_what_is_no_cells_rests_on_what_cells_publish_and_on_nothing_else_of_theirs(
    specs: dict[dg.AssetKey, dg.AssetSpec],
) -> None:
    crossing = {
        dep.asset_key
        for key, spec in specs.items()
        if key.path[0] not in CELLS
        for dep in spec.deps
        if dep.asset_key.path[0] in CELLS
    }
    assert {key.path[1] for key in crossing} == {"publish"}


def test_what_is_published_rests_on_its_cells_gate(specs: dict[dg.AssetKey, dg.AssetSpec]) -> None:
    published = [spec for key, spec in specs.items() if key.path[1] == "publish"]
    assert len(published) == 3 * len(CELLS)
    for spec in published:
        assert dg.AssetKey([spec.key.path[0], "governance", "gate"]) in {dep.asset_key for dep in spec.deps}


def test_every_partitioned_asset_is_backfilled_in_one_run(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    # What no run builds (imported files, which a command brings) needs no policy for it.
    partitioned = [key for key in graph.materializable_asset_keys if graph.get(key).partitions_def is not None]
    assert partitioned
    for key in partitioned:
        policy = graph.get(key).backfill_policy
        assert policy is not None, key
        assert policy.policy_type.value == "SINGLE_RUN", key


def test_all_days_are_one_partition_space(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    spaces = {graph.get(key).partitions_def for key in graph.materializable_asset_keys} - {None}
    assert len(spaces) == 1


def test_only_imported_files_the_stream_and_policies_are_from_outside(repository: dg.RepositoryDefinition) -> None:
    graph = repository.asset_graph
    brought = graph.get_all_asset_keys() - graph.materializable_asset_keys
    files = {dg.AssetKey([cell, "ingest", "imports"]) for cell in CELLS}
    assert brought == files | {
        dg.AssetKey([cell, "ingest", name]) for cell in CELLS for name in ("stream", "event_policies")
    }
    for key in brought:
        assert isinstance(graph.get(key).partitions_def, dg.DynamicPartitionsDefinition) == (key in files)
        # What is built from events stands downstream of what brings them; policies bring none.
        brings_events = key.path[-1] != "event_policies"
        assert (dg.AssetKey([key.path[0], "staging", "stg_events"]) in graph.get(key).child_keys) == brings_events


def test_every_job_of_assets_stays_in_one_cell(repository: dg.RepositoryDefinition) -> None:
    for cell in CELLS:
        keys = repository.get_job(f"refresh_{cell}").asset_layer.selected_asset_keys
        assert {key.path[0] for key in keys} == {cell}


def test_the_code_location_loads_nothing_heavy() -> None:
    program = "import sys, orchestration.definitions as d; d.defs().get_repository_def(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in HEAVY if name in loaded] == []


def test_dg_finds_the_definitions_valid() -> None:
    check = subprocess.run(
        [Path(sys.executable).with_name("dg"), "check", "defs"],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stdout + check.stderr
    assert "All definitions loaded successfully" in check.stdout
