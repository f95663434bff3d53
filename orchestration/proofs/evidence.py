"""Evidence for an auditor: what was proved in each cell, by which rules and attacks, of which versions, and when.

One report is one HTML page and one JSON file of the same content. It is made by proving, not by looking up an old
verdict, so that it speaks of the moment it names. It holds names of objects and counts: no person, no tenant's value.

It fails closed: a cell that could not be proved, or whose facts could not be read afterwards, is in the report as such,
and the exit code is 2; a violated one is there with its offenders, exit code 1.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

import psycopg
from jinja2 import Environment, StrictUndefined
from psycopg.rows import class_row

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.engines.atomic_file import write_atomically
from orchestration.proofs.inventory import inventory
from orchestration.proofs.proof import SUITES, SUITES_DIRECTORY, Proof, kind_of, prove
from orchestration.proofs.verify import PROVEN, UNPROVEN, VIOLATED
from orchestration.quality.suite import load_suite
from orchestration.settings import Settings, get_settings

# Below the state directory; one directory for all cells, since a report may be about several.
EVIDENCE_DIRECTORY = "evidence"

_HERE = Path(__file__).parent
_TEMPLATE = _HERE / "evidence.html.jinja"

Outcome = Literal["proven", "violated", "not proven"]
# By the worst: what could not be asked may be worse than what was found.
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_TENANT_IN_A_NAME = re.compile(r"\b(?P<kind>t|tenant)_(?P<tenant>[0-9a-f]{32})")


class EvidenceError(RuntimeError):
    """The report cannot be written; the message says where and why."""


@dataclass(frozen=True)
class RuleEvidence:
    """One rule: what it says, why, and what it found; ``status``: passed, failed, unproven or error."""

    suite: str
    rule: str
    description: str
    why: str
    status: str
    offenders: tuple[tuple[str, int], ...]
    error: str | None


@dataclass(frozen=True)
class AttackEvidence:
    """One kind of attack: against how many objects it was made, on which it succeeded, on which it showed nothing."""

    attack: str
    objects: int
    succeeded: tuple[str, ...]
    unproven: tuple[str, ...]


@dataclass(frozen=True)
class CellFacts:
    """Versions and counts of a cell, as ``evidence_facts.sql`` returns them."""

    server: str
    timescaledb: str | None
    edition: str
    migrations: Mapping[str, Mapping[str, Any]]
    tenants: int
    tenants_with_schemas: int
    tenants_with_a_database: int
    policies: int
    roles: int
    chunks: int
    catalog_facts: int


@dataclass(frozen=True)
class CellEvidence:
    """One cell: its outcome and what it rests on; without facts where the cell could not be asked."""

    cell: Cell
    region: str
    outcome: Outcome
    reasons: tuple[str, ...]
    catalog_digest: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float
    facts: CellFacts | None
    rules: tuple[RuleEvidence, ...]
    attacks: tuple[AttackEvidence, ...]
    objects: Mapping[str, tuple[str, ...]]

    @property
    def attacks_made(self) -> int:
        return sum(each.objects for each in self.attacks)

    @property
    def rules_passed(self) -> int:
        return sum(each.status == "passed" for each in self.rules)


@dataclass(frozen=True)
class Evidence:
    """The report. ``suites``: per suite a digest of its rules' text: two reports with the same one asked the same."""

    generated_at: str
    project_version: str
    suites: Mapping[str, str]
    cells: tuple[CellEvidence, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of the cells; without any cell nothing is proven."""
        return max((each.outcome for each in self.cells), key=OUTCOMES.index, default="not proven")

    @property
    def exit_code(self) -> int:
        """0 proven, 1 violated, 2 could not be proven."""
        return {"proven": PROVEN, "violated": VIOLATED, "not proven": UNPROVEN}[self.outcome]

    def as_json(self) -> dict[str, Any]:
        return {"outcome": self.outcome, "exit_code": self.exit_code} | asdict(self)


@dataclass(frozen=True)
class Written:
    """The files of one report."""

    html: Path
    json: Path


def gather(cells: Sequence[Cell] = CELLS, *, settings: Settings | None = None) -> Evidence:
    """Prove every suite in each of ``cells`` now, and return the evidence; never raises for what concerns a cell."""
    settings = settings or get_settings()
    return Evidence(
        generated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        project_version=_project_version(),
        suites={suite: _suite_digest(suite) for suite in SUITES},
        cells=tuple(_cell(cell, prove(cell, settings=settings), settings) for cell in cells),
    )


def write(evidence: Evidence, directory: Path) -> Written:
    """Write the report below ``directory``, named after its time; both files are whole or not there.

    Raises:
        EvidenceError: the directory cannot be written to.
    """
    stamp = evidence.generated_at.replace("-", "").replace(":", "").split("+")[0]
    name = f"isolation-{'-'.join(each.cell for each in evidence.cells) or 'none'}-{stamp}Z"
    written = Written(directory / f"{name}.html", directory / f"{name}.json")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(written.json, json.dumps(evidence.as_json(), indent=2) + "\n", mode=0o644)
        write_atomically(written.html, as_html(evidence), mode=0o644)
    except OSError as error:
        raise EvidenceError(
            f"{directory} cannot be written to ({error.strerror}): name another directory with --out"
        ) from None
    return written


def as_html(evidence: Evidence) -> str:
    """Return the report as one page that fetches nothing."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(evidence=evidence, outcomes=OUTCOMES)


def default_directory(settings: Settings) -> Path:
    """Return where reports go unless told otherwise."""
    return settings.home / EVIDENCE_DIRECTORY


def impersonal(name: str) -> str:
    """Return an object's name such that it names no tenant: schemas and databases of one tenant bear its id.

    The same tenant has the same mark in one report and in the next; who administers the cell can compute it.
    """

    def marked(match: re.Match[str]) -> str:
        return f"{match['kind']}_#{hashlib.sha256(match['tenant'].encode()).hexdigest()[:8]}"

    return _TENANT_IN_A_NAME.sub(marked, name)


def _cell(cell: Cell, proofs: Sequence[Proof], settings: Settings) -> CellEvidence:
    reasons = [impersonal(f"{proof.suite}: {error}") for proof in proofs for error in proof.errors]
    facts: CellFacts | None = None
    attacks: tuple[AttackEvidence, ...] = ()
    objects: dict[str, tuple[str, ...]] = {}
    recorded = None
    try:
        with routing.connect(
            cell, "auditor", autocommit=True, application_name="capstone evidence", settings=settings
        ) as connection:
            with connection.cursor(row_factory=class_row(CellFacts)) as cursor:
                facts = cursor.execute((_HERE / "evidence_facts.sql").read_text()).fetchone()
            attacks = _attacks(connection, proofs)
            recorded = connection.execute(
                "select catalog_digest, started_at, finished_at from platform.proofs where proof_id = any(%s)"
                " order by finished_at desc limit 1",
                ([proof.proof_id for proof in proofs],),
            ).fetchone()
        objects = _objects(cell, settings)
    except (psycopg.Error, routing.CellUnavailableError, endpoints.EndpointError) as error:
        reasons.append(kind_of(error))
    if recorded is None:
        reasons.append("the verdict could not be recorded in the cell")
    return CellEvidence(
        cell=cell,
        region=REGIONS[cell].name,
        outcome=_outcome(proofs, complete=facts is not None and recorded is not None),
        reasons=tuple(dict.fromkeys(reasons)),
        catalog_digest=recorded[0] if recorded else None,
        started_at=recorded[1].astimezone(UTC).isoformat(timespec="seconds") if recorded else None,
        finished_at=recorded[2].astimezone(UTC).isoformat(timespec="seconds") if recorded else None,
        seconds=round(sum(proof.seconds for proof in proofs[:1]), 1),
        facts=facts,
        rules=tuple(rule for proof in proofs for rule in _rules(proof)),
        attacks=attacks,
        objects=objects,
    )


def _outcome(proofs: Sequence[Proof], *, complete: bool) -> Outcome:
    verdicts = {proof.verdict for proof in proofs}
    if not complete or not verdicts or "error" in verdicts:
        return "not proven"
    return "violated" if "red" in verdicts else "proven"


def _rules(proof: Proof) -> list[RuleEvidence]:
    """Return what became of each rule; of a proof that asked none, each rule as not asked."""
    answers = {answer.rule: answer for answer in proof.result.rules} if proof.result else {}
    found = []
    for rule in load_suite(SUITES_DIRECTORY / proof.suite).rules:
        answer = answers.get(rule.id)
        found.append(
            RuleEvidence(
                suite=proof.suite,
                rule=rule.id,
                description=rule.description,
                why=rule.why,
                status=answer.status if answer else "error",
                offenders=tuple((impersonal(each.object), each.count) for each in answer.offenders) if answer else (),
                error=answer.error if answer else "not asked",
            )
        )
    return found


def _attacks(connection: psycopg.Connection[Any], proofs: Sequence[Proof]) -> tuple[AttackEvidence, ...]:
    proof_ids = [proof.proof_id for proof in proofs]
    rules = [rule for proof in proofs if proof.result for rule in proof.result.rules]
    # As these two rules name them: an attack that came to no end, and rows of its own that a tenant did not see.
    no_end = {each.object for rule in rules if rule.rule == "attacks_ran" for each in rule.offenders}
    unseen = {each.object for rule in rules if rule.rule == "own_rows_are_seen" for each in rule.offenders}
    made: Counter[str] = Counter()
    succeeded: dict[str, list[str]] = {}
    unproven: dict[str, list[str]] = {}
    for name, target, success in connection.execute(
        "select attack, object, succeeded from platform.proof_attacks where proof_id = any(%s) order by attack, object",
        (proof_ids,),
    ):
        made[name] += 1
        if success:
            succeeded.setdefault(name, []).append(impersonal(target))
        elif f"{target} ({name})" in no_end or (name == "read own rows" and target in unseen):
            unproven.setdefault(name, []).append(impersonal(target))
    return tuple(
        AttackEvidence(name, count, tuple(succeeded.get(name, ())), tuple(unproven.get(name, ())))
        for name, count in sorted(made.items())
    )


def _objects(cell: Cell, settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return the declared relations of the cell that exist, by kind."""
    by_kind: dict[str, list[str]] = {}
    for relation in inventory(cell, settings=settings):
        by_kind.setdefault(relation.kind, []).append(f"{relation.name} ({relation.relkind})")
    return {kind: tuple(names) for kind, names in sorted(by_kind.items())}


def _suite_digest(suite: str) -> str:
    loaded = load_suite(SUITES_DIRECTORY / suite)
    text = "\n".join(loaded.query(rule) for rule in loaded.rules)
    return hashlib.sha256(text.encode()).hexdigest()


def _project_version() -> str:
    try:
        return version("capstone")
    except PackageNotFoundError:
        return "not installed"
