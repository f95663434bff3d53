"""Per cell: the gate that every arrow out of the cell passes, and the blocking checks that prove the cell.

A blocking check acts within its run only. What closes the gate for every other run is the verdict that the check
leaves in ``platform.proofs``, which dbt and whatever publishes read first.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

    from orchestration.proofs.proof import Proof

OWNERS = ["team:data-platform"]

CELL_TAG = "capstone/cell"
# On every run of a cell's proof job; the sensors look for it.
PROOF_TAG = "capstone/proof"

TENANT_ISOLATION = "tenant_isolation"
GEO_RESIDENCY = "geo_residency"

_INGEST = ("plans", "tenants", "staff", "catalog", "shoppers", "orders", "events", "landed")

_DESCRIPTIONS = {
    TENANT_ISOLATION: "No tenant sees another's rows: every relation is as declared, and live attacks as role `app` "
    "fail, while each tenant sees all of its own rows.",
    GEO_RESIDENCY: "No person has a row, or a copy, where people of their region may not live: tables, catalogs, "
    "Redis, files, logs and shared databases are searched for canaries and e-mail addresses; and nothing regional is "
    "published.",
}


def gate_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset that everything leaving ``cell`` depends on."""
    return dg.AssetKey([cell, "governance", "gate"])


def check_key(cell: Cell, suite: str) -> dg.AssetCheckKey:
    """Return the key of the blocking check of ``suite`` in ``cell``."""
    return dg.AssetCheckKey(gate_key(cell), suite)


def pool(cell: Cell) -> str:
    """Return the pool in which dbt runs and proofs of ``cell`` take turns."""
    return f"cell_{cell}"


def ingest_keys(cell: Cell) -> Sequence[dg.AssetKey]:
    """Return what the cell is filled by."""
    names = (*_INGEST, "cdnow") if cell == "na" else _INGEST
    return [dg.AssetKey([cell, "ingest", name]) for name in names]


def gate_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the gate of ``cell``; its checks prove the cell, what is downstream waits for them."""

    @dg.asset(
        key=gate_key(cell),
        deps=ingest_keys(cell),
        group_name=f"{cell}_governance",
        kinds={"postgres", "greatexpectations"},
        owners=OWNERS,
        pool=pool(cell),
        retry_policy=NETWORK_RETRY,
        description=f"The gate of cell {cell} ({REGIONS[cell].name}): what the cell holds, relation by relation. Its "
        "blocking checks prove isolation and residency; dbt and every publishing step depend on it, and read the "
        "verdict in `platform.proofs` as well.",
    )
    def gate() -> dg.MaterializeResult[None]:
        from orchestration.proofs.gate import gate_state  # noqa: PLC0415 - keeps the code location's start short
        from orchestration.proofs.inventory import inventory  # noqa: PLC0415

        with only_network_retried():
            relations = inventory(cell)
            states = gate_state(cell)
        return dg.MaterializeResult(
            metadata={
                **_residency_map(),
                "relations": len(relations),
                "rows (estimated)": sum(relation.rows or 0 for relation in relations if relation.relkind != "view"),
                "gate before this proof": "; ".join(
                    f"{state.suite} {'is proven' if state.open else state.reason}" for state in states
                ),
                "inventory": dg.TableMetadataValue(
                    records=[
                        dg.TableRecord(
                            {"relation": r.name, "kind": r.kind, "is a": r.relkind, "rows (estimated)": r.rows}
                        )
                        for r in relations
                    ],
                    schema=dg.TableSchema(
                        [
                            dg.TableColumn("relation"),
                            dg.TableColumn("kind"),
                            dg.TableColumn("is a"),
                            dg.TableColumn("rows (estimated)", "int"),
                        ]
                    ),
                ),
            }
        )

    return gate


def proof_checks(cell: Cell) -> dg.AssetChecksDefinition:
    """Return both suites of ``cell`` as blocking checks of one step, which imports Great Expectations once."""

    @dg.multi_asset_check(
        name=f"{cell}_proof",
        specs=[
            dg.AssetCheckSpec(suite, asset=gate_key(cell), blocking=True, description=description)
            for suite, description in _DESCRIPTIONS.items()
        ],
        can_subset=True,
        compute_kind="greatexpectations",
        pool=pool(cell),
    )
    def prove_cell(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        from orchestration.proofs.proof import prove  # noqa: PLC0415 - keeps the code location's start short

        wanted = {key.name for key in context.selected_asset_check_keys}
        # Each is told as soon as it is known.
        for suite in _DESCRIPTIONS:
            if suite in wanted:
                yield from (_check_result(cell, proof) for proof in prove(cell, [suite]))

    return prove_cell


def _check_result(cell: Cell, proof: "Proof") -> dg.AssetCheckResult:
    from orchestration.quality.asset_check import asset_check_result  # noqa: PLC0415

    recorded: dict[str, dg.MetadataValue] = {
        "proof": dg.MetadataValue.text(str(proof.proof_id)),
        "recorded": dg.MetadataValue.bool(proof.recorded),
        **(_residency_map() if proof.suite == GEO_RESIDENCY else {}),
    }
    if proof.result is None:
        reason = "; ".join(proof.errors)
        return dg.AssetCheckResult(
            passed=False,
            asset_key=gate_key(cell),
            check_name=proof.suite,
            description=f"{proof.suite} could not be proven: {reason}",
            metadata={**recorded, "verdict": "not proven", "reason": reason},
        )
    return asset_check_result(
        proof.result,
        asset_key=gate_key(cell),
        check_name=proof.suite,
        docs_url=_docs_url(cell, proof),
        metadata=recorded,
    )


def _docs_url(cell: Cell, proof: "Proof") -> str | None:
    """Return the address of the proof's page; None where no documentation server is known, as with external DSNs."""
    from orchestration.lifecycle.docs_site import DATA_DOCS  # noqa: PLC0415

    if proof.result is None or proof.result.docs is None:
        return None
    site = DATA_DOCS.format(cell=cell).rpartition("/")[0]
    return _served(f"{site}/{proof.result.docs.path}")


def _served(path: str) -> str | None:
    from orchestration.cells.endpoints import EndpointError  # noqa: PLC0415
    from orchestration.lifecycle.docs_site import docs_url  # noqa: PLC0415
    from orchestration.settings import get_settings  # noqa: PLC0415

    try:
        return docs_url(get_settings(), path)
    except EndpointError:
        return None


def _residency_map() -> dict[str, dg.MetadataValue]:
    """Return the link to the map, where a documentation server is known."""
    from orchestration.lifecycle.docs_site import RESIDENCY_MAP  # noqa: PLC0415

    url = _served(RESIDENCY_MAP)
    return {} if url is None else {"residency map": dg.MetadataValue.url(url)}


def shape_check(cell: Cell) -> dg.AssetChecksDefinition:
    """Return the check that ``cell`` has the same shape as the other cells."""

    @dg.asset_check(
        asset=gate_key(cell),
        name="same_shape_as_other_cells",
        description="The cells are identical in shape: same relations, columns, policies, grants, functions and "
        "roles. Names what differs; blocks nothing.",
    )
    def same_shape() -> dg.AssetCheckResult:
        from orchestration.proofs.cell_shape import compare  # noqa: PLC0415

        with only_network_retried():
            comparison = compare(cell)
        absent = "; ".join(f"{other}: {reason}" for other, reason in comparison.absent.items())
        return dg.AssetCheckResult(
            passed=not comparison.differences,
            severity=dg.AssetCheckSeverity.ERROR,
            description=comparison.describe(),
            metadata={
                "compared with": ", ".join(comparison.compared) or "no other cell",
                **({"not compared": absent} if absent else {}),
                "facts": comparison.facts,
                "differences": dg.TableMetadataValue(
                    records=[
                        dg.TableRecord({"only in": ", ".join(each.cells), "fact": each.fact})
                        for each in comparison.differences[:200]
                    ],
                    schema=dg.TableSchema([dg.TableColumn("only in"), dg.TableColumn("fact")]),
                ),
            },
        )

    return same_shape


@cache
def proof_job(cell: Cell) -> "UnresolvedAssetJobDefinition":
    """Return the job that proves ``cell`` and does nothing else."""
    return dg.define_asset_job(
        name=f"proof_{cell}",
        selection=dg.AssetSelection.checks(*(check_key(cell, suite) for suite in _DESCRIPTIONS)),
        executor_def=dg.in_process_executor,
        # Before loads and rebuilds in the queue; and a violation is as red the second time.
        tags={CELL_TAG: cell, PROOF_TAG: cell, "dagster/priority": "10", "dagster/max_retries": "0"},
        description=f"Proves isolation and residency of cell {cell} ({REGIONS[cell].name}) and records the verdicts "
        "that open or close its gate.",
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return gate, checks and proof job of every cell."""
    return dg.Definitions(
        assets=[gate_asset(cell) for cell in CELLS],
        asset_checks=[check for cell in CELLS for check in (proof_checks(cell), shape_check(cell))],
        jobs=[proof_job(cell) for cell in CELLS],
    )
