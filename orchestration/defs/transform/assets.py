"""dbt's models of each cell as assets, their tests as checks: one op, one dbt process and one look at the gate a cell.

Models that are built day by day and models that are built whole are in the same op. Two ops would be two dbt
processes, and the second would find the gate closed: the first one's new relations change the catalog that was proven.
"""

import time
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.partitions import days_of
from orchestration.defs.transform import mart_numbers
from orchestration.defs.transform.arguments import DayRangeError, build_arguments
from orchestration.defs.transform.figures import cohort_picture, conversion_picture, funnel_picture, transitions_table
from orchestration.defs.transform.invocation import run_dbt
from orchestration.defs.transform.light_dagster_dbt import DagsterDbtCliRuntimeError, dbt_assets
from orchestration.defs.transform.project import MANIFEST, PROJECT
from orchestration.defs.transform.translator import CellTranslator, is_daily, model_key

FUNNEL_MART = "fct_funnel"
COHORT_MART = "fct_cohort_retention"
CONVERSION_MART = "fct_funnel_conversion"
USER_PATHS_MART = "fct_user_paths"

# On a run that is to build all days there are, also those that are no partition: days of old imports.
ALL_DAYS_TAG = "capstone/all_days"

# Enough to see a trend and the weekdays in it.
CONVERSION_DAYS = timedelta(days=60)
MOST_TRANSITIONS = 20


def pool(cell: Cell) -> str:
    """Return the pool that lets one dbt run or proof at a time into a cell."""
    return f"cell_{cell}"


def models(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the project's models as the manifest describes them."""
    return [node for node in manifest["nodes"].values() if node["resource_type"] == "model"]


def daily_keys(manifest: Mapping[str, Any], cell: Cell) -> frozenset[dg.AssetKey]:
    """Return the keys of the models that are built day by day."""
    return frozenset(model_key(cell, node) for node in models(manifest) if is_daily(node))


def _counted(manifest: Mapping[str, Any], cell: Cell) -> dict[dg.AssetKey, tuple[str, str]]:
    # Counting a view computes it; its rows are its source's.
    tables = (node for node in models(manifest) if node["config"]["materialized"] != "view")
    return {model_key(cell, node): (node["schema"], node["alias"]) for node in tables}


def _days(context: dg.AssetExecutionContext, manifest: Mapping[str, Any], cell: Cell) -> tuple[date, ...] | None:
    """Return the run's days, or None when nothing that it builds has days.

    Raises:
        dagster.Failure: an empty, inverted or broken range.
    """
    return days_of(context) if daily_keys(manifest, cell) & context.selected_asset_keys else None


def funnel_metadata(cell: Cell, days: tuple[date, ...], context: dg.AssetExecutionContext) -> dict[str, Any]:
    """Return the funnel's picture over the run's days, and give each day's partition its own numbers."""
    with routing.connect(cell, "transformer", application_name="capstone asset pages") as connection:
        steps = mart_numbers.funnel_steps(connection, days[0], days[-1])
        if not steps:
            return {"users who entered": 0}
        by_day = mart_numbers.funnel_days(connection, steps[0].funnel, days[0], days[-1])
    for day, numbers in by_day.items():
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": numbers["rows"],
                f"{steps[0].funnel}: entered": numbers["entered"],
                f"{steps[0].funnel}: converted": numbers["converted"],
            },
            asset_key=dg.AssetKey([cell, "marts", FUNNEL_MART]),
            partition_key=day.isoformat(),
        )
    title = f"{cell}: {days[0]}" + (f" to {days[-1]}" if len(days) > 1 else "")
    return {"funnel": dg.MetadataValue.md(funnel_picture(steps, title))}


def conversion_metadata(cell: Cell, days: tuple[date, ...]) -> dict[str, Any]:
    """Return the picture of conversion over the days up to the run's last one."""
    with routing.connect(cell, "transformer", application_name="capstone asset pages") as connection:
        found = mart_numbers.conversion_days(connection, min(days[0], days[-1] - CONVERSION_DAYS), days[-1])
    if not found:
        return {"users who entered": 0}
    return {"conversion": dg.MetadataValue.md(conversion_picture(found, f"{cell}: conversion by day of entry"))}


def user_paths_metadata(cell: Cell, days: tuple[date, ...]) -> dict[str, Any]:
    """Return the most frequent steps from one event to the next over the run's days."""
    with routing.connect(cell, "transformer", application_name="capstone asset pages") as connection:
        found = mart_numbers.user_paths(connection, days[0], days[-1], MOST_TRANSITIONS)
    return {"most frequent transitions": dg.MetadataValue.md(transitions_table(found))} if found else {"transitions": 0}


def cohort_metadata(cell: Cell) -> dict[str, Any]:
    """Return a heat map for each configured cohort."""
    with routing.connect(cell, "transformer", application_name="capstone asset pages") as connection:
        found = {name: mart_numbers.cohort_cells(connection, name) for name in mart_numbers.cohort_names(connection)}
    if not found:
        return {"cohorts": 0}
    return {
        f"retention: {name}": dg.MetadataValue.md(cohort_picture(cells, f"{cell}: {name} by {period}, all tenants"))
        for name, (period, cells) in found.items()
    }


def _described(
    event: Any,
    cell: Cell,
    days: tuple[date, ...] | None,
    context: dg.AssetExecutionContext,
    manifest: Mapping[str, Any],
) -> Any:
    if not isinstance(event, dg.Output):
        return event
    key = context.asset_key_for_output(event.output_name)
    metadata: dict[str, Any] = {}
    relation = _counted(manifest, cell).get(key)
    if relation is not None:
        with routing.connect(cell, "transformer", application_name="capstone asset pages") as connection:
            metadata["dagster/row_count"] = mart_numbers.row_counts(connection, [relation])[relation]
    if key.path[-1] == FUNNEL_MART and days is not None:
        metadata |= funnel_metadata(cell, days, context)
    if key.path[-1] == CONVERSION_MART and days is not None:
        metadata |= conversion_metadata(cell, days)
    if key.path[-1] == USER_PATHS_MART and days is not None:
        metadata |= user_paths_metadata(cell, days)
    if key.path[-1] == COHORT_MART:
        metadata |= cohort_metadata(cell)
    return event.with_metadata({**event.metadata, **metadata})


def cell_models(cell: Cell) -> dg.AssetsDefinition:
    """Return the assets of all models of a cell, with their checks."""
    manifest = read_manifest(MANIFEST)

    @dbt_assets(
        manifest=manifest,
        project=PROJECT,
        dagster_dbt_translator=CellTranslator(cell),
        name=f"{cell}_dbt",
        pool=pool(cell),
        backfill_policy=dg.BackfillPolicy.single_run(),
        retry_policy=NETWORK_RETRY,
        op_tags={"capstone/cell": cell},
    )
    def build(context: dg.AssetExecutionContext) -> Iterator[Any]:
        started = time.monotonic()
        days = _days(context, manifest, cell)
        try:
            arguments = build_arguments(cell, None if ALL_DAYS_TAG in context.run.tags else days)
        except DayRangeError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        with only_network_retried():
            # Only a server that does not answer is worth another try.
            routing.connect(cell, "transformer").close()
        try:
            for event in run_dbt(cell, arguments, context=context).stream():
                yield _described(event, cell, days, context=context, manifest=manifest)
        except DagsterDbtCliRuntimeError as error:
            # A closed gate or a failed test fails again: saying so four times costs a minute and hides the first.
            raise dg.Failure(error.description, allow_retries=False) from None
        context.log.info(f"dbt build of cell {cell} took {time.monotonic() - started:.1f} s")

    return build


@dg.definitions
def defs() -> dg.Definitions:
    """Return dbt's assets of every cell."""
    return dg.Definitions(assets=[cell_models(cell) for cell in CELLS])
