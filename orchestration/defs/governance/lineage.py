"""Per cell: the blocking check on every model that leaves the cell, that nothing of a person is in it.

It acts within a run, between dbt and whatever publishes. The publishing step asks the same question itself
(``orchestration.lineage.proof.require_publishable``), in whichever run it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from orchestration.cells.regions import CELLS, Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.governance.gate import pool
from orchestration.defs.transform.assets import models
from orchestration.defs.transform.project import MANIFEST
from orchestration.defs.transform.translator import model_key

if TYPE_CHECKING:
    from orchestration.lineage.check import Lineage

LINEAGE = "lineage"

# A table of more is read by nobody.
MOST_ROWS = 50

_DESCRIPTION = (
    "Nothing that comes from a person's attributes is in this relation, except in groups of k persons: followed column "
    "by column from the sources through the compiled SQL. Blocks what publishes."
)


def leaving_models(manifest: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the models that are declared to leave their cell, by relation."""
    return {
        f"{model['schema']}.{model['alias']}": model
        for model in models(manifest)
        if model["config"].get("meta", {}).get("leaves_cell")
    }


def lineage_checks(cell: Cell, leaving: Mapping[str, dg.AssetKey]) -> dg.AssetChecksDefinition:
    """Return the checks of the relations ``leaving`` the cell, as one step that follows the project once."""

    @dg.multi_asset_check(
        name=f"{cell}_lineage",
        specs=[
            dg.AssetCheckSpec(LINEAGE, asset=key, blocking=True, description=_DESCRIPTION) for key in leaving.values()
        ],
        can_subset=True,
        compute_kind="dbt",
        pool=pool(cell),
    )
    def follow(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from orchestration.lineage.proof import lineage_of  # noqa: PLC0415 - keeps the code location's start short
        from orchestration.proofs.proof import kind_of  # noqa: PLC0415

        found: Lineage | None = None
        reason = ""
        try:
            found = lineage_of(cell)
        except Exception as error:  # noqa: BLE001 - what cannot be followed is red, whatever the reason
            reason = kind_of(error)
        for relation, key in leaving.items():
            if dg.AssetCheckKey(key, LINEAGE) in context.selected_asset_check_keys:
                yield _result(relation, key, found, reason)

    return follow


def _result(relation: str, key: dg.AssetKey, found: "Lineage | None", reason: str) -> dg.AssetCheckResult:
    if found is None:
        return dg.AssetCheckResult(
            passed=False,
            asset_key=key,
            check_name=LINEAGE,
            description=f"lineage could not be followed: {reason}",
            metadata={"verdict": "not proven", "reason": reason},
        )
    paths = [str(leak) for leak in found.leaks if leak.relation == relation]
    elsewhere = len(found.leaks) - len(paths)
    return dg.AssetCheckResult(
        passed=found.publishable(relation),
        asset_key=key,
        check_name=LINEAGE,
        description=f"{len(paths)} paths lead here, {elsewhere} to other relations, {len(found.unproven)} places are "
        f"not as declared or cannot be followed; {found.models} models followed",
        metadata={
            "models": found.models,
            "columns": found.columns,
            "relations that leave": len(found.leaving),
            "k": found.k,
            "paths": _table("path", paths),
            "not proven": _table("where and why", [str(each) for each in found.unproven]),
        },
    )


def _table(column: str, rows: Sequence[str]) -> dg.TableMetadataValue:
    return dg.TableMetadataValue(
        records=[dg.TableRecord({column: row}) for row in rows[:MOST_ROWS]],
        schema=dg.TableSchema([dg.TableColumn(column)]),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the lineage checks of every cell; none while no model is declared to leave one."""
    leaving = leaving_models(read_manifest(MANIFEST))
    if not leaving:
        return dg.Definitions()
    return dg.Definitions(
        asset_checks=[
            lineage_checks(cell, {relation: model_key(cell, model) for relation, model in leaving.items()})
            for cell in CELLS
        ]
    )
