"""The proof for a cell: the project as dbt compiles it there now, and the rule's k as it is configured."""

import time
from collections.abc import Sequence
from uuid import uuid4

import yaml

from orchestration.analysis.configuration import CONFIGURATION_FILE
from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.lineage.check import Lineage, prove
from orchestration.lineage.compiling import CompileError, compiled
from orchestration.lineage.project import ManifestError, project_of
from orchestration.proofs.proof import Proof, RuleOffender, kind_of
from orchestration.settings import Settings, get_settings

SUITE = "lineage"
# More would bury the first.
MOST_REASONS = 5

NOTHING_LEAVES = "nothing_of_a_person_leaves"
ALL_IS_FOLLOWED = "everything_is_followed"


class LineageError(RuntimeError):
    """What was asked for may not leave the cell; the message names the columns and paths, and the way out."""


def fewest_persons() -> int:
    """Return k: how many persons a group has to hold, as ``dbt_project.yml`` says for its models.

    Raises:
        LineageError: it says nothing usable.
    """
    content = yaml.safe_load(CONFIGURATION_FILE.read_text(encoding="utf-8"))
    k = ((content.get("vars") or {}).get("global_marts") or {}).get("k")
    if not isinstance(k, int) or isinstance(k, bool) or k < 2:
        raise LineageError(f"{CONFIGURATION_FILE}: vars: global_marts: k is {k!r}: a whole number above 1 is needed")
    return k


def lineage_of(cell: Cell, settings: Settings | None = None) -> Lineage:
    """Return the lineage of the project as it is compiled in ``cell`` now.

    Raises:
        CompileError, ManifestError: it cannot be compiled or read.
        LineageError: k is not configured.
        CellUnavailableError, EndpointError: the cell does not answer or is not known.
    """
    return prove(project_of(compiled(cell, settings)), k=fewest_persons())


def require_publishable(cell: Cell, relations: Sequence[str], settings: Settings | None = None) -> None:
    """Return only if all ``relations`` are declared to leave their cell and are proven to hold nothing of a person.

    Args:
        cell: where they are.
        relations: ``schema.table`` each.
        settings: of the platform.

    Raises:
        LineageError: one is not, or lineage is not known.
        CellUnavailableError, EndpointError: the cell does not answer or is not known.
    """
    try:
        found = lineage_of(cell, settings)
    except (CompileError, ManifestError) as error:
        raise LineageError(f"nothing of cell {cell!r} may leave it: {error}") from None
    undeclared = [relation for relation in relations if relation not in found.leaving]
    if undeclared:
        raise LineageError(
            f"{', '.join(undeclared)}: not declared to leave cell {cell!r}, dbt's meta has no leaves_cell"
        )
    if not found.holds:
        reasons = [*map(str, found.leaks), *map(str, found.unproven)]
        raise LineageError(
            f"nothing of cell {cell!r} may leave it while lineage is red (`capstone verify lineage --cell {cell}`): "
            + "; ".join(reasons[:MOST_REASONS])
        )


def prove_lineage(cell: Cell, settings: Settings | None = None) -> Proof:
    """Prove the lineage of ``cell``; whatever goes wrong is a verdict ``error``, as of other proofs."""
    settings = settings or get_settings()
    started = time.monotonic()
    try:
        found = lineage_of(cell, settings)
    except (CompileError, ManifestError, LineageError) as error:
        return _proof(cell, None, started, str(error))
    except (routing.CellUnavailableError, endpoints.EndpointError) as error:
        return _proof(cell, None, started, kind_of(error))
    except Exception as error:  # noqa: BLE001 - any exception is a verdict, not a crash
        return _proof(cell, None, started, kind_of(error))
    return _proof(cell, found, started)


def _proof(cell: Cell, found: Lineage | None, started: float, error: str = "") -> Proof:
    offenders: tuple[RuleOffender, ...] = ()
    if found is not None:
        offenders = tuple(RuleOffender(NOTHING_LEAVES, str(leak), 1) for leak in found.leaks)
        offenders += tuple(RuleOffender(ALL_IS_FOLLOWED, str(each), 1) for each in found.unproven)
    return Proof(
        proof_id=uuid4(),
        cell=cell,
        suite=SUITE,
        verdict="error" if found is None else "red" if offenders or not found.holds else "green",
        offenders=offenders,
        errors=(error,) if error else (),
        rules_run=0 if found is None else 2,
        seconds=round(time.monotonic() - started, 3),
    )
