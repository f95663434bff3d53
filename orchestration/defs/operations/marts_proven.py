"""Proves a cell once more when building its marts has changed its catalog, in the process that built them.

The first build of a mart creates a relation, and a catalog that changed closes the gate. The sensors would open it
again within a minute; but a run of its own costs 10 s of processor time for imports alone, and here they are done.
"""

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.assets import models, pool
from orchestration.defs.transform.project import MANIFEST
from orchestration.defs.transform.translator import layer_of, model_key


def marts_proven_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the asset that leaves the gate of ``cell`` open behind a refresh."""
    marts = [model_key(cell, node) for node in models(read_manifest(MANIFEST)) if layer_of(node) == "marts"]

    @dg.asset(
        key=dg.AssetKey([cell, "governance", "marts_proven"]),
        deps=marts,
        group_name=f"{cell}_marts",
        kinds={"postgres", "greatexpectations"},
        owners=OWNERS,
        pool=pool(cell),
        retry_policy=NETWORK_RETRY,
        description=f"The gate of cell {cell} ({REGIONS[cell].name}) after its marts were built: when that has changed "
        "the catalog, both suites are proven again at once. Fails when they are not green.",
    )
    def marts_proven() -> dg.MaterializeResult[None]:
        from orchestration.proofs.gate import gate_state  # noqa: PLC0415 -- loads with the run
        from orchestration.proofs.proof import prove  # noqa: PLC0415

        with only_network_retried():
            shut = [state for state in gate_state(cell) if not state.open]
            proofs = prove(cell) if shut else []
        unproven = [f"{proof.suite} is {proof.verdict}" for proof in proofs if proof.verdict != "green"]
        if unproven:
            raise dg.Failure(
                f"cell {cell}, proven again after its marts were built: {'; '.join(unproven)}. "
                f"`capstone verify all --cell {cell}` names the offenders",
                allow_retries=False,
            )
        return dg.MaterializeResult(
            metadata={
                "proven again": bool(proofs),
                "why": "; ".join(f"{state.suite} {state.reason}" for state in shut) or "the gate was open still",
                "rules": sum(proof.rules_run for proof in proofs),
                "duration (s)": round(sum(proof.seconds for proof in proofs), 3),
            }
        )

    return marts_proven


@dg.definitions
def defs() -> dg.Definitions:
    """Return the second proof of every cell."""
    return dg.Definitions(assets=[marts_proven_asset(cell) for cell in CELLS])
