"""Prove suites in cells and say the outcome to a person, a script or a pipeline.

Exit codes: 0 proven, 1 violated (the offenders are named), 2 could not be proven. What could not be proven outranks
what was found: a script that stops on 1 and warns on 2 must not warn when one cell is violated and another silent.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from orchestration.cells.regions import CELLS, Cell
from orchestration.proofs.proof import SUITES, Proof, prove
from orchestration.settings import Settings, get_settings

What = Literal["isolation", "residency", "lineage", "all"]

SUITES_OF: dict[What, tuple[str, ...]] = {
    "isolation": ("tenant_isolation",),
    "residency": ("geo_residency",),
    "lineage": (),
    "all": SUITES,
}
# No suite: a proof of the dbt project's own. No gate waits for it, what publishes does.
WITH_LINEAGE: frozenset[What] = frozenset({"lineage", "all"})

PROVEN, VIOLATED, UNPROVEN = 0, 1, 2


@dataclass(frozen=True)
class Verification:
    """Proofs of suites in cells, in that order of cells."""

    proofs: tuple[Proof, ...]

    @property
    def exit_code(self) -> int:
        """0 proven, 1 violated, 2 could not be proven; nothing proven at all is 2."""
        verdicts = {proof.verdict for proof in self.proofs}
        if not verdicts or "error" in verdicts:
            return UNPROVEN
        return VIOLATED if "red" in verdicts else PROVEN

    def as_json(self) -> dict[str, Any]:
        """Return what a script needs: verdicts, offenders by name and count, reasons."""
        return {
            "exit_code": self.exit_code,
            "proofs": [
                {
                    "cell": proof.cell,
                    "suite": proof.suite,
                    "verdict": proof.verdict,
                    "rules_run": proof.rules_run,
                    "offenders": [asdict(offender) for offender in proof.offenders],
                    "errors": list(proof.errors),
                    "seconds": proof.seconds,
                    "proof_id": str(proof.proof_id),
                    "recorded": proof.recorded,
                }
                for proof in self.proofs
            ],
        }


def verify(what: What, cells: Sequence[Cell] = CELLS, *, settings: Settings | None = None) -> Verification:
    """Prove ``what`` in each of ``cells``; an unreachable cell is a proof that could not be given.

    Raises:
        ValueError: ``what`` is none of isolation, residency, lineage, all.
    """
    if what not in SUITES_OF:
        raise ValueError(f"cannot verify {what!r}: one of {', '.join(get_args(What))} is needed")
    settings = settings or get_settings()
    proofs: list[Proof] = []
    for cell in cells:
        if SUITES_OF[what]:
            proofs += prove(cell, SUITES_OF[what], settings=settings)
        if what in WITH_LINEAGE:
            from orchestration.lineage.proof import prove_lineage  # noqa: PLC0415 - the parser, only for who asks

            proofs.append(prove_lineage(cell, settings))
    return Verification(tuple(proofs))
