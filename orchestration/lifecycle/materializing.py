"""`capstone materialize`: assets chosen by name, built through Dagster, each region in a run of its own."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestration.cells.regions import CELLS, Cell
from orchestration.lifecycle import runs
from orchestration.lifecycle.filling import AssetPath, DayRange, Fill
from orchestration.lifecycle.graphql import DagsterGraphQL
from orchestration.lifecycle.reporting import Reporter

_PARTITIONED = """
query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) { assetKey { path } isPartitioned isMaterializable } }
"""


class SelectionError(ValueError):
    """What was selected cannot be built; the message says what is wrong with it and what to give instead."""


@dataclass(frozen=True)
class Request:
    """One run to launch: the assets of one cell (None: of no cell), and whether some are partitioned by day."""

    cell: Cell | None
    assets: tuple[AssetPath, ...]
    partitioned: bool


def per_cell(assets: Mapping[AssetPath, bool], only: Cell | None = None) -> list[Request]:
    """Split assets (path: whether partitioned) into one request per cell: a run never mixes regions.

    Raises:
        SelectionError: nothing is left to build.
    """
    split: dict[Cell | None, list[AssetPath]] = defaultdict(list)
    for path in sorted(assets):
        cell = next((cell for cell in CELLS if path[0] == cell), None)
        if only is None or cell == only:
            split[cell].append(path)
    if not split:
        where = f" in cell {only!r}" if only else ""
        raise SelectionError(f"the selection holds no asset{where}: see `dg list defs`, or the Dagster UI")
    return [Request(cell, tuple(paths), any(assets[path] for path in paths)) for cell, paths in split.items()]


def require_within(days: DayRange, built: DayRange) -> None:
    """Fail on days that the platform has no partition for: before its first day, or not over yet.

    Raises:
        SelectionError: names the days that exist.
    """
    if days.first < built.first or days.last > built.last:
        raise SelectionError(
            f"the days {days.first} to {days.last} are not all partitions of this platform: "
            f"it has {built.first} to {built.last} (UTC; a day exists when it is over)"
        )


def materialize(
    client: DagsterGraphQL,
    selected: Sequence[AssetPath],
    reporter: Reporter,
    *,
    cell: Cell | None,
    days: DayRange | None,
    still_served: Callable[[], None],
) -> Fill:
    """Build the selected assets and wait.

    Args:
        client: the webserver's GraphQL interface.
        selected: keys of the assets.
        reporter: is shown the runs.
        cell: only the assets of this cell.
        days: the days to build; needed when a selected asset is partitioned, and refused when none is.
        still_served: see :func:`runs.follow`.

    Raises:
        SelectionError: nothing can be built, or the days do not fit the assets.
        LaunchError: Dagster refuses a run.
    """
    keys = [{"path": list(path)} for path in selected]
    nodes = client.query(_PARTITIONED, keys=keys)["assetNodes"] if keys else []
    known = {tuple(node["assetKey"]["path"]): bool(node["isPartitioned"]) for node in nodes if node["isMaterializable"]}
    requests = per_cell(known, cell)
    partitioned = any(request.partitioned for request in requests)
    if partitioned and days is None:
        raise SelectionError("some of these assets are partitioned by day: give --partition DAY, or --from and --to")
    if days is not None and not partitioned:
        raise SelectionError("none of these assets is partitioned: leave out --partition, --from and --to")
    pending = set()
    for request in requests:
        tags: dict[str, str] = {runs.CELL_TAG: request.cell} if request.cell else {}
        if request.partitioned and days:
            tags |= days.tags
        pending.add(runs.launch(client, runs.ASSET_JOB, tags=tags, asset_keys=request.assets))
    outcome = Fill()
    for ended in runs.follow(client, pending, reporter.runs, still_served):
        outcome.finished.append(ended)
        if not ended.succeeded:
            outcome.failures.append(runs.failure(client, ended.run_id))
    return outcome
