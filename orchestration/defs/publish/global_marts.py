"""The cells' aggregates side by side: the schema of database ``global``, its marts, their checks and the hourly look.

A mart is a view over what the cells have appended, so it is never older than the last refresh; the assets say how old
each cell's part is. Looked at each hour, not only after a cell has published: a cell that is away publishes nothing
that could set anything off, and that is what has to be noticed.
"""

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from orchestration.cells.regions import CELLS
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS, ledger_table
from orchestration.defs.publish.cells import publish_key
from orchestration.publishing.datasets import DATASETS, DatasetName
from orchestration.publishing.standing import Standing

SCHEMA_KEY = dg.AssetKey(["global", "schema"])
JOB = "refresh_global"
# After the minutes at which the cells' refreshes start.
CRON = "10 * * * *"


def mart_key(name: DatasetName) -> dg.AssetKey:
    """Return the key of the union of a dataset."""
    return dg.AssetKey(["global", "marts", name])


def standings_table(found: Sequence[Standing]) -> dg.TableMetadataValue:
    """Return each cell's state, age and what was held back as a table."""
    return dg.TableMetadataValue(
        records=[
            dg.TableRecord(
                {
                    "region": each.region,
                    "state": each.state,
                    "age": "" if each.age is None else str(each.age),
                    "closed through": "" if each.closed_through is None else each.closed_through.isoformat(),
                    "rows": each.published or 0,
                    "groups": each.groups or 0,
                    "merged": each.merged or 0,
                    "suppressed": (each.suppressed or 0) + (each.withheld or 0),
                }
            )
            for each in found
        ],
        schema=dg.TableSchema(
            [
                dg.TableColumn("region"),
                dg.TableColumn("state"),
                dg.TableColumn("age"),
                dg.TableColumn("closed through"),
                *(dg.TableColumn(name, "int") for name in ("rows", "groups", "merged", "suppressed")),
            ]
        ),
    )


@dg.asset(
    key=SCHEMA_KEY,
    group_name="global_platform",
    kinds={"postgres", "sql"},
    owners=OWNERS,
    retry_policy=NETWORK_RETRY,
    description="Schema of database `global` on the control cluster: what the cells published, appended only, and the "
    "marts over it. Applies the files of `sql/global/` that it does not have yet.",
)
def global_schema(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """Bring database ``global`` up to date."""
    from orchestration.cells import routing  # noqa: PLC0415 -- loads with the run
    from orchestration.cells.endpoints import GLOBAL_DATABASE  # noqa: PLC0415
    from orchestration.migrations import apply_control  # noqa: PLC0415
    from orchestration.migrations.ledger import read  # noqa: PLC0415

    with only_network_retried():
        applied = apply_control(report=context.log.info)
        with routing.connect("control", "superuser", database=GLOBAL_DATABASE) as connection:
            ledger = read(connection, "global")
    return dg.MaterializeResult(
        metadata={
            "migrations applied now": len(applied),
            "migrations in all": len(ledger),
            "version": f"{ledger[-1].version:03}",
            "ledger": ledger_table(ledger),
        }
    )


def mart_asset(name: DatasetName) -> dg.AssetsDefinition:
    """Return the union of a dataset over the cells."""
    what = DATASETS[name]

    @dg.asset(
        key=mart_key(name),
        deps=[SCHEMA_KEY, *(publish_key(cell, name) for cell in CELLS)],
        group_name="global_marts",
        kinds={"postgres"},
        owners=OWNERS,
        retry_policy=NETWORK_RETRY,
        description=f"All cells: {what.description}. View `marts.{name}` of database `global`; a cell that is away "
        "keeps its last values, with their age and as stale, and one that never published is a line that says so. "
        "Groups of at least k persons only: docs/global-marts.md.",
    )
    def mart() -> dg.MaterializeResult[None]:
        from orchestration.defs.publish.figures import revenue_picture  # noqa: PLC0415 -- loads with the run
        from orchestration.publishing import standing  # noqa: PLC0415

        with only_network_retried(), standing.connect() as connection:
            found = standing.standings(connection, name)
            rows = standing.union_rows(connection, name)
        metadata: dict[str, dg.RawMetadataValue] = {
            "dagster/row_count": sum(each.published or 0 for each in found),
            "cells": standings_table(found),
            "groups held back": sum((each.suppressed or 0) + (each.withheld or 0) for each in found),
        }
        if name == "revenue" and (picture := revenue_picture(rows, [each.region for each in found])):
            metadata["revenue by day and region"] = dg.MetadataValue.md(picture)
        return dg.MaterializeResult(metadata=metadata)

    return mart


def threshold_check(name: DatasetName) -> dg.AssetChecksDefinition:
    """Return the blocking check that no group of a dataset is below k, nor any that two rows differ by."""

    @dg.asset_check(
        asset=mart_key(name),
        name="k_holds",
        blocking=True,
        description="Every row, and whatever two rows of one period differ by, is a group of at least k persons.",
    )
    def k_holds() -> dg.AssetCheckResult:
        from orchestration.publishing import standing  # noqa: PLC0415
        from orchestration.publishing.rule import read_rule  # noqa: PLC0415

        rule = read_rule()
        with only_network_retried(), standing.connect() as connection:
            below = standing.below_threshold(connection, rule.k)[name]
        return dg.AssetCheckResult(passed=below == 0, metadata={"groups below k": below, "k": rule.k})

    return k_holds


def freshness_check(name: DatasetName) -> dg.AssetChecksDefinition:
    """Return the check that every cell's part is fresh; it warns, for the others' parts are as good as ever."""

    @dg.asset_check(
        asset=mart_key(name),
        name="all_cells_fresh",
        description="Every cell has published lately. Warns and names those that have not, with their age; their last "
        "values stay.",
    )
    def all_cells_fresh() -> dg.AssetCheckResult:
        from orchestration.publishing import standing  # noqa: PLC0415

        with only_network_retried(), standing.connect() as connection:
            found = standing.standings(connection, name)
        late = [each for each in found if each.state != "fresh"]
        return dg.AssetCheckResult(
            passed=not late,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{each.region}: {each.describe()}" for each in late) or "every cell is fresh",
            metadata={"cells": standings_table(found)},
        )

    return all_cells_fresh


def global_job() -> UnresolvedAssetJobDefinition:
    """Return the job over database ``global``: its schema, its marts and their checks."""
    return dg.define_asset_job(
        name=JOB,
        selection=dg.AssetSelection.key_prefixes("global"),
        executor_def=dg.in_process_executor,
        description="The global marts: schema of database `global`, unions of the cells, k and freshness.",
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return schema, marts, checks, job and schedule of database ``global``."""
    return dg.Definitions(
        assets=[global_schema, *(mart_asset(name) for name in DATASETS)],
        asset_checks=[check for name in DATASETS for check in (threshold_check(name), freshness_check(name))],
        jobs=[global_job()],
        schedules=[
            dg.ScheduleDefinition(
                name=f"{JOB}_hourly",
                job_name=JOB,
                cron_schedule=CRON,
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
                description="Looks at the global marts each hour, so that a cell that is away is noticed.",
            )
        ],
    )
