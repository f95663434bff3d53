"""Imported files of events: one partition per file, of an asset that `capstone import events` materializes.

An external asset: the file is where the command runs, which may be another machine than Dagster's, and is read once.
The command reports each import with its numbers; what is built from events stands downstream of it.
"""

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.ingest.seeds import seed_key
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.translator import imports_key
from orchestration.lifecycle.import_record import imports_partitions


def imports_asset(cell: Cell) -> dg.AssetSpec:
    """Return the imported files of a cell."""
    return dg.AssetSpec(
        key=imports_key(cell),
        deps=[seed_key(cell, "tenants")],
        partitions_def=dg.DynamicPartitionsDefinition(name=imports_partitions(cell)),
        group_name=f"{cell}_ingest",
        owners=OWNERS,
        kinds={"python", "timescaledb"},
        description=f"Files of events of tenants in {REGIONS[cell].name}, brought by `capstone import events`: a "
        "partition is a file, named by its load_id in `platform.loads`; its numbers account for every record. Events "
        "of the last year are in `analytics.events`, older ones in `analytics.events_history`.",
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the imported files of all cells."""
    return dg.Definitions(assets=[imports_asset(cell) for cell in CELLS])
