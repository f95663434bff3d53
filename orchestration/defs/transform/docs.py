"""The dbt docs of each cell as an asset, generated after its marts."""

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.assets import models, pool
from orchestration.defs.transform.documentation import generate_documentation
from orchestration.defs.transform.project import MANIFEST
from orchestration.defs.transform.translator import layer_of, model_key


def docs_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the asset that writes the dbt docs of ``cell``."""
    marts = [model_key(cell, node) for node in models(read_manifest(MANIFEST)) if layer_of(node) == "marts"]

    @dg.asset(
        key=dg.AssetKey([cell, "docs", "dbt_docs"]),
        deps=marts,
        group_name=f"{cell}_docs",
        kinds={"dbt", "html"},
        owners=OWNERS,
        pool=pool(cell),
        retry_policy=NETWORK_RETRY,
        description=f"dbt's documentation of cell {cell} ({REGIONS[cell].name}): models, columns, tests and lineage. "
        "Names and types only, no data, so it is not behind the gate.",
    )
    def dbt_docs() -> dg.MaterializeResult[None]:
        with only_network_retried():
            written = generate_documentation(cell)
        return dg.MaterializeResult(
            metadata={
                "models": written.models,
                "columns described": written.columns,
                "duration (s)": written.seconds,
                "folder": dg.MetadataValue.path(str(written.folder)),
            }
        )

    return dbt_docs


@dg.definitions
def defs() -> dg.Definitions:
    """Return the dbt docs of every cell."""
    return dg.Definitions(assets=[docs_asset(cell) for cell in CELLS])
