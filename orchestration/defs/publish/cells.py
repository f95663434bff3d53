"""Per cell: its k-anonymous aggregates on their way into database ``global``, an asset a dataset."""

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.governance.gate import gate_key
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.assets import pool
from orchestration.publishing.datasets import DATASETS, DatasetName


def publish_key(cell: Cell, name: DatasetName) -> dg.AssetKey:
    """Return the key of the asset that publishes dataset ``name`` of ``cell``."""
    return dg.AssetKey([cell, "publish", name])


def publish_asset(cell: Cell, name: DatasetName) -> dg.AssetsDefinition:
    """Return the asset that publishes dataset ``name`` of ``cell``."""
    what = DATASETS[name]

    @dg.asset(
        key=publish_key(cell, name),
        deps=[
            dg.AssetKey([cell, "marts", what.model]),
            dg.AssetKey([cell, "marts", "agg_closed_periods"]),
            gate_key(cell),
            # The first build of the aggregates changes the catalog, and with it the gate.
            dg.AssetKey([cell, "governance", "marts_proven"]),
        ],
        group_name=f"{cell}_publish",
        kinds={"postgres"},
        owners=OWNERS,
        pool=pool(cell),
        retry_policy=NETWORK_RETRY,
        description=f"What leaves cell {cell} ({REGIONS[cell].name}): {what.description}. Reads the gate first and is "
        "refused when it is not open, or when the column lineage of what leaves is not proven. Checks every row once "
        "more, and appends the periods that have settled since the last refresh to database `global`, in one "
        "transaction. What is published is never changed: docs/global-marts.md.",
    )
    def publish_dataset() -> dg.MaterializeResult[None]:
        from orchestration.lineage.proof import require_publishable  # noqa: PLC0415 -- loads with the run
        from orchestration.publishing.publication import publish  # noqa: PLC0415

        with only_network_retried():
            require_publishable(cell, [f"marts.{model}" for model in (what.model, "agg_closed_periods")])
            done = publish(cell, name)
        return dg.MaterializeResult(
            metadata={
                "rows published": done.published,
                "groups of the periods that closed": done.groups,
                "of these in a coarser group only": done.merged,
                "of these suppressed": done.suppressed,
                "of these withheld at the border": done.withheld,
                "closed through": done.closed_through.isoformat(),
                "as of": dg.MetadataValue.timestamp(done.as_of),
                "refresh": str(done.publication_id),
            }
        )

    return publish_dataset


@dg.definitions
def defs() -> dg.Definitions:
    """Return the publishing assets of every cell."""
    return dg.Definitions(assets=[publish_asset(cell, name) for cell in CELLS for name in DATASETS])
