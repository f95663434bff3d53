"""Filling the cells: what Dagster's own records say is missing, and one run per cell that brings it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from orchestration.cells.regions import CELLS, Cell, parse_cell
from orchestration.lifecycle import runs
from orchestration.lifecycle.dagster_home import LOCATION, REPOSITORY
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.lifecycle.reporting import Reporter, Say
from orchestration.lifecycle.runs import RunFailure, RunState
from orchestration.loading.window import day_range
from orchestration.migrations.files import DOMAINS
from orchestration.tenancy.tenant_migrations import TENANTS_SCHEMAS

_NODES = """
query($job: PipelineSelector) {
  assetNodes(pipeline: $job) {
    assetKey { path }
    isMaterializable
    isPartitioned
    assetMaterializations(limit: 1) { timestamp }
    assetPartitionStatuses { __typename ... on TimePartitionStatuses { ranges { startKey endKey status } } }
  }
}
"""
# Assets that are built by one op together with others are built with them or not at all.
_BUILT_TOGETHER = """
query($keys: [AssetKeyInput!]!) { assetNodeAdditionalRequiredKeys(assetKeys: $keys) { path } }
"""


# Before the proofs that the sensors queue while a cell is being filled: each would have to be repeated afterwards.
FILL_PRIORITY = "1"

AssetPath = tuple[str, ...]


@dataclass(frozen=True)
class DayRange:
    """The days from ``first`` to ``last``, both included.

    Raises:
        EmptyPartitionRangeError: ``first`` lies after ``last``; Dagster would call a run over that a success.
    """

    first: date
    last: date

    def __post_init__(self) -> None:
        day_range(self.first, self.last)

    def __iter__(self) -> Iterator[date]:
        return iter(day_range(self.first, self.last))

    @property
    def tags(self) -> dict[str, str]:
        """The run tags that make Dagster build these days in one run."""
        return {runs.RANGE_START_TAG: self.first.isoformat(), runs.RANGE_END_TAG: self.last.isoformat()}


@dataclass(frozen=True)
class Gap:
    """What a cell lacks: the days to run over, and the keys of the assets that are missing something."""

    days: DayRange
    assets: tuple[AssetPath, ...]


# Of database ``global``, which is no cell's.
GLOBAL_JOB = "refresh_global"


def refresh_job(cell: Cell) -> str:
    """Return the name of the job that builds everything of a cell."""
    return f"refresh_{cell}"


def proof_job(cell: Cell) -> str:
    """Return the name of the job that proves a cell's isolation and residency."""
    return f"proof_{cell}"


def gate_asset(cell: Cell) -> AssetPath:
    """Return the key of the asset whose checks are the proofs of a cell."""
    return (cell, "governance", "gate")


def missing_days(ranges: Sequence[Mapping[str, str]], days: DayRange) -> list[date]:
    """Return the days that are not materialized; a failed or half-done day is missing."""
    built: set[date] = set()
    for found in ranges:
        if found["status"] == "MATERIALIZED":
            built.update(DayRange(date.fromisoformat(found["startKey"]), date.fromisoformat(found["endKey"])))
    return [day for day in days if day not in built]


def gap_of(nodes: Sequence[Mapping[str, Any]], days: DayRange) -> Gap | None:
    """Return what the assets lack over ``days``, or None when nothing is missing.

    The range to run is from the first missing day to the last; an unpartitioned asset that was never built needs all.
    """
    first, last = days.last, days.first
    lacking: list[AssetPath] = []
    for node in nodes:
        if not node["isMaterializable"]:
            continue
        if node["isPartitioned"]:
            absent = missing_days(node["assetPartitionStatuses"].get("ranges", []), days)
        else:
            absent = [] if node["assetMaterializations"] else list(days)
        if absent:
            lacking.append(tuple(node["assetKey"]["path"]))
            first, last = min(first, absent[0]), max(last, absent[-1])
    return Gap(DayRange(first, last), tuple(sorted(lacking))) if lacking else None


def find_gap(client: DagsterGraphQL, job: str, days: DayRange) -> Gap | None:
    """Ask Dagster what the assets of ``job`` lack over ``days``."""
    selector = {"pipelineName": job, "repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
    return gap_of(client.query(_NODES, job=selector)["assetNodes"], days)


def assets_to_build(client: DagsterGraphQL, cell: Cell, gap: Gap) -> list[AssetPath]:
    """Return what the run that closes a gap has to build: what is missing, and not what is there already.

    The gate goes first again: what lies behind it is built only on a proof that is not older than an hour.
    """
    wanted = {*gap.assets, gate_asset(cell)}
    keys = [{"path": list(path)} for path in sorted(wanted)]
    needed = client.query(_BUILT_TOGETHER, keys=keys)["assetNodeAdditionalRequiredKeys"]
    return sorted(wanted | {tuple(key["path"]) for key in needed})


@dataclass
class Fill:
    """The outcome of a fill: runs that ended, and why those that failed did."""

    finished: list[RunState] = field(default_factory=list)
    failures: list[RunFailure] = field(default_factory=list)


@dataclass(frozen=True)
class CellState:
    """What Dagster's records do not know of a cell: whether its gate is open, whether migrations wait."""

    gate_is_open: Callable[[Cell], bool]
    has_pending_migrations: Callable[[Cell], bool]


def _launch_for(
    client: DagsterGraphQL, cell: Cell, days: DayRange, state: CellState, say: Say, *, migrated: bool = False
) -> str | None:
    """Launch the run that cell ``cell`` needs next, or return None when it lacks nothing."""
    tags: dict[str, str] = {runs.CELL_TAG: cell}
    gap = find_gap(client, refresh_job(cell), days)
    schemas = [*((cell, domain, "schema") for domain in DOMAINS), (cell, *TENANTS_SCHEMAS)]
    # A newer version may bring models that need its migrations; in a first fill one run does both.
    separately = gap is None or not set(schemas) & set(gap.assets)
    if separately and not migrated and state.has_pending_migrations(cell):
        say(f"{cell}: there are new migrations")
        return runs.launch(client, runs.ASSET_JOB, tags=tags, asset_keys=schemas)
    if gap:
        say(f"{cell}: {len(gap.assets)} assets lack something from {gap.days.first} to {gap.days.last}")
        wanted = assets_to_build(client, cell, gap)
        tags |= {runs.PRIORITY_TAG: FILL_PRIORITY, **gap.days.tags}
        return runs.launch(client, refresh_job(cell), tags=tags, asset_keys=wanted)
    if not state.gate_is_open(cell):
        say(f"{cell}: the gate is closed, proving the cell")
        return _proof(client, cell)
    return None


def _proof(client: DagsterGraphQL, cell: Cell) -> str:
    """Return a proof run of ``cell`` that has not begun, so that it sees the cell as it is now; launch one if need be.

    The sensors see the same changes, and have often queued one already.
    """
    waiting = [run for run in runs.unfinished(client, ("QUEUED", "NOT_STARTED")) if run.job == proof_job(cell)]
    return waiting[0].run_id if waiting else runs.launch(client, proof_job(cell), tags={runs.CELL_TAG: cell})


def fill(
    client: DagsterGraphQL,
    days: DayRange,
    state: CellState,
    reporter: Reporter,
    *,
    say: Say,
    still_served: Callable[[], None],
) -> Fill:
    """Build what is missing in each cell, then prove the cell, and wait for all of it.

    A refresh that is already queued or running, left by an interrupted `up`, is followed rather than doubled.
    The proof comes after the refresh: the marts' first creation changes the catalog, which closes the gate.
    """
    jobs = {refresh_job(cell): cell for cell in CELLS}
    pending: set[str] = set()
    followed: set[Cell] = set()
    for run in runs.unfinished(client):
        if run.job in jobs:
            pending.add(run.run_id)
            followed.add(jobs[run.job])
            say(f"{jobs[run.job]}: following run {run.run_id}, which is under way")
    for cell in CELLS:
        if cell not in followed:
            launched = _launch_for(client, cell, days, state, say)
            pending.update([launched] if launched else [])
    outcome = Fill()
    for ended in runs.follow(client, pending, reporter.runs, still_served):
        outcome.finished.append(ended)
        if not ended.succeeded:
            outcome.failures.append(runs.failure(client, ended.run_id))
        elif ended.cell and ended.job != proof_job(parse_cell(ended.cell)):
            cell = parse_cell(ended.cell)
            if ended.job == runs.ASSET_JOB and find_gap(client, refresh_job(cell), days):
                launched = _launch_for(client, cell, days, state, say, migrated=True)
                pending.update([launched] if launched else [])
            elif not state.gate_is_open(cell):
                pending.add(_proof(client, cell))
    return outcome


def fill_global(
    client: DagsterGraphQL,
    days: DayRange,
    filled: Fill,
    reporter: Reporter,
    *,
    say: Say,
    still_served: Callable[[], None],
) -> None:
    """Build the global marts when they never were, or when a cell was just filled; adds the run to ``filled``.

    After all cells, so that each is seen as it is now. One that could not be filled is shown as stale, or as never
    there, and keeps the others from nothing.
    """
    if not filled.finished and find_gap(client, GLOBAL_JOB, days) is None:
        return
    say("global: the cells side by side")
    for ended in runs.follow(client, {runs.launch(client, GLOBAL_JOB, tags={})}, reporter.runs, still_served):
        filled.finished.append(ended)
        if not ended.succeeded:
            filled.failures.append(runs.failure(client, ended.run_id))
