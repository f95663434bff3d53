"""Prove a cell: run its suites, store the verdict that the gate of its data path reads.

A verdict speaks of one state of the catalog: its digest is taken before the first rule and compared after the last.
Whatever goes wrong is a verdict too, ``error``; nothing here can turn "could not be asked" into "holds".
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Edition, Relation, load_relations
from orchestration.lifecycle.docs_site import DATA_DOCS
from orchestration.proofs.attacks import Attack, attack
from orchestration.proofs.residency.stores_survey import survey
from orchestration.proofs.server_attacks import attack_server
from orchestration.proofs.session import rule_session
from orchestration.proofs.session_attacks import attack_sessions
from orchestration.proofs.tenant_databases import prove_databases
from orchestration.proofs.tenant_schemas import attacked_relations
from orchestration.quality.data_docs import DataDocs
from orchestration.quality.suite import load_suite
from orchestration.quality.validation import Offender, SuiteResult, Verdict, preload, validate
from orchestration.residency_map import page as residency_map
from orchestration.settings import PROJECT_ROOT, Settings, get_settings

SUITES = ("tenant_isolation", "geo_residency")
SUITES_DIRECTORY = PROJECT_ROOT / "expectations"

# One proof at a time in a cell; the number only has to be nobody else's.
LOCK_KEY = 0x70726F6F66  # "proof"
LOCK_WAIT_SECONDS = 120

# dbt builds a table beside the old one and renames both: for that moment there are relations that nobody declared.
TRANSIENT = "__dbt_(tmp|backup)"
TRANSIENT_WAIT_SECONDS = 20
_POLL_SECONDS = 0.25

# A catalog that changes while it is looked at is looked at once more, not for ever.
ATTEMPTS = 2

# What a month of hourly proofs, or a day of proofs every three minutes, leaves behind.
KEPT_PROOFS = 500
KEPT_DAYS = 30

# In the place of a digest, where a proof failed before or because it could be taken: equal to no catalog's.
UNKNOWN_DIGEST = "unknown"


_log = logging.getLogger(__name__)


class ProofError(RuntimeError):
    """A proof could not be carried out; the message says why, and what to do."""


@dataclass(frozen=True)
class RuleOffender:
    """What breaks which rule: an object's name, and how many of its rows, grants or the like."""

    rule: str
    object: str
    count: int


@dataclass(frozen=True)
class Proof:
    """A verdict on one suite in one cell.

    Attributes:
        verdict: green, red, or error: could not be proven.
        offenders: what is violated, by name and count.
        errors: why it could not be proven.
        result: the rules' answers; None when none was asked.
        recorded: whether the verdict is in ``platform.proofs``, where the gate reads it.
    """

    proof_id: UUID
    cell: Cell
    suite: str
    verdict: Verdict
    offenders: tuple[RuleOffender, ...]
    errors: tuple[str, ...]
    rules_run: int
    seconds: float
    result: SuiteResult | None = None
    recorded: bool = False


@dataclass(frozen=True)
class _Run:
    """One run of a suite over one state of the catalog."""

    digest: str
    started_at: datetime
    result: SuiteResult
    attacks: list[Attack]


def data_docs(cell: Cell, settings: Settings) -> DataDocs:
    """Return where the data docs of ``cell`` are; the results they are made from are not served."""
    return DataDocs(
        site=(settings.docs / DATA_DOCS.format(cell=cell)).parent,
        store=settings.home / "data_docs" / cell,
        title=f"cell {cell}",
    )


def prove(cell: Cell, suites: Sequence[str] = SUITES, *, settings: Settings | None = None) -> list[Proof]:
    """Prove ``suites`` in ``cell`` and record each verdict as soon as it is known.

    Whatever cannot be carried out is a verdict ``error``, recorded if the cell can still be reached. Never raises for
    what concerns the cell.

    Raises:
        ValueError: a suite does not exist.
    """
    settings = settings or get_settings()
    for suite in suites:
        if suite not in SUITES:
            raise ValueError(f"unknown suite {suite!r}: one of {', '.join(SUITES)} is needed")
    # One after the other: what tells tenants apart is proven in seconds, a search of all rows for people is not.
    proofs = [_prove(cell, suite, settings) for suite in suites]
    if "geo_residency" in suites:
        _draw_residency_map(cell, settings)
    return proofs


def _prove(cell: Cell, suite: str, settings: Settings) -> Proof:
    started = time.monotonic()
    try:
        with (
            routing.connect(
                cell, "auditor", autocommit=True, application_name="capstone proof", settings=settings
            ) as connection,
            _lock(connection, cell),
        ):
            _require_all_rows(connection)
            run = _run(connection, cell, suite, settings)
            return _record(connection, _proof(cell, run.result, time.monotonic() - started), run)
    except Exception as error:  # noqa: BLE001 - any exception is a verdict, not a crash
        return _unproven(cell, suite, error, time.monotonic() - started, settings)


def _draw_residency_map(cell: Cell, settings: Settings) -> None:
    """Count the cell for the map, as of this proof; a map that cannot be drawn is no part of the verdict."""
    try:
        residency_map.update(cell, settings)
    except Exception as error:  # noqa: BLE001 - see above
        _log.warning("the residency map does not show this proof of cell %s: %s", cell, kind_of(error))


def kind_of(error: BaseException) -> str:
    """Return what may be told of an exception: the text of this project's own errors, the kind of all others.

    The text of a database error may quote a row.
    """
    if isinstance(error, psycopg.Error):
        return f"{type(error).__name__} ({error.sqlstate or 'no connection'})"
    if type(error).__module__.startswith("orchestration."):
        return str(error)
    return type(error).__name__


@contextmanager
def _lock(connection: psycopg.Connection[TupleRow], cell: Cell) -> Iterator[None]:
    deadline = time.monotonic() + LOCK_WAIT_SECONDS
    while not _one(connection, "select pg_try_advisory_lock(%s)", (LOCK_KEY,)):
        if time.monotonic() > deadline:
            raise ProofError(f"another proof of cell {cell!r} has been running for {LOCK_WAIT_SECONDS} s: try again")
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        # A lost connection has lost its lock.
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", (LOCK_KEY,))


def _require_all_rows(connection: psycopg.Connection[TupleRow]) -> None:
    """Fail if this role is subject to row security: its proof would hold for want of rows."""
    role, sees_all = _row(
        connection,
        "select current_user, r.rolsuper or r.rolbypassrls from pg_roles as r where r.rolname = current_user",
    )
    if not sees_all:
        raise ProofError(f"role {role!r} is subject to row security and would see no offender: grant it BYPASSRLS")


def _run(connection: psycopg.Connection[TupleRow], cell: Cell, suite: str, settings: Settings) -> _Run:
    """Run ``suite``, once more if the catalog changed meanwhile.

    Raises:
        ProofError: it changed again.
    """
    preload()
    for _ in range(ATTEMPTS):
        _wait_for_transient_relations(connection)
        digest, started_at = _row(connection, "select platform.catalog_digest(), clock_timestamp()")
        edition = _edition(connection)
        relations = load_relations(edition)
        loaded = load_suite(SUITES_DIRECTORY / suite)
        attacks: list[Attack] = []
        if suite == "tenant_isolation":
            attacks = all_attacks(cell, relations, settings)
            found = prove_databases(connection, cell, loaded, relations, settings, edition=edition)
            further = found.as_setting()
        else:
            further = survey(cell, connection, settings).as_settings()
        [result] = validate(
            [loaded],
            endpoints.dsn(cell, "auditor", settings=settings),
            source=f"cell {cell}",
            session=rule_session(cell, relations, attacks, edition=edition, further=further),
            docs=data_docs(cell, settings),
        )
        if _one(connection, "select platform.catalog_digest()") == digest:
            return _Run(str(digest), started_at, result, attacks)
    raise ProofError(f"the catalog of cell {cell!r} changed during {ATTEMPTS} proofs: nothing is proven, try again")


def all_attacks(cell: Cell, relations: Sequence[Relation], settings: Settings) -> list[Attack]:
    """Attack rows, sessions and the server of ``cell`` as role ``app``; rows also in schemas of single tenants.

    Raises:
        psycopg.Error, CellUnavailableError: the attacks could not be carried out, so nothing is proven.
    """
    with routing.connect(cell, "auditor", application_name="capstone proof", settings=settings) as auditor:
        attacked = attacked_relations(auditor, relations)
    return [
        *attack(cell, attacked, settings),
        *attack_sessions(cell, settings),
        *attack_server(cell, attacked, settings),
    ]


def _wait_for_transient_relations(connection: psycopg.Connection[TupleRow]) -> None:
    """Wait while dbt renames; what is still there afterwards was left behind, and is judged like any relation."""
    deadline = time.monotonic() + TRANSIENT_WAIT_SECONDS
    while time.monotonic() < deadline and _one(
        connection,
        "select exists (select from pg_class as c where c.relkind in ('r', 'v', 'm') and c.relname ~ %s)",
        (TRANSIENT,),
    ):
        time.sleep(_POLL_SECONDS)


def _edition(connection: psycopg.Connection[TupleRow]) -> Edition:
    return "community" if _one(connection, "select current_setting('timescaledb.license')") == "timescale" else "apache"


def _proof(cell: Cell, result: SuiteResult, seconds: float) -> Proof:
    offenders = [
        RuleOffender(rule.rule, offender.object, offender.count)
        for rule in result.rules
        if rule.status == "failed"
        for offender in rule.offenders
    ]
    errors = [f"{rule.rule}: {rule.error}" for rule in result.rules if rule.error is not None]
    errors += [
        f"{rule.rule}: {_named(offender)}"
        for rule in result.rules
        if rule.status == "unproven"
        for offender in rule.offenders
    ]
    return Proof(
        proof_id=uuid4(),
        cell=cell,
        suite=result.suite,
        verdict=result.verdict,
        offenders=tuple(offenders),
        errors=tuple(errors),
        rules_run=len(result.rules),
        seconds=round(seconds, 3),
        result=result,
    )


def _named(offender: Offender) -> str:
    return f"{offender.object} ({offender.count})"


def _record(connection: psycopg.Connection[TupleRow], proof: Proof, run: _Run) -> Proof:
    """Store verdict and attacks in one transaction, and drop what is too old; the newest of a suite never is."""
    with connection.transaction(), connection.cursor() as cursor:
        _insert(cursor, proof, run.digest, run.started_at)
        cursor.executemany(
            "insert into platform.proof_attacks (proof_id, attack, object, succeeded, outcome)"
            " values (%s, %s, %s, %s, %s)",
            [(proof.proof_id, a.attack, a.object, a.state == "succeeded", a.outcome) for a in run.attacks],
        )
        cursor.execute(
            (Path(__file__).parent / "purge.sql").read_text(),
            {"suite": proof.suite, "kept": KEPT_PROOFS, "days": KEPT_DAYS},
        )
    return _recorded(proof)


def _insert(cursor: psycopg.Cursor[TupleRow], proof: Proof, digest: str, started_at: datetime) -> None:
    # An error names what could not be asked in the place of offenders, with a count of 0.
    named = [asdict(offender) for offender in proof.offenders]
    named += [
        {"rule": error.partition(": ")[0], "object": f"not proven: {error}", "count": 0} for error in proof.errors
    ]
    cursor.execute(
        "insert into platform.proofs"
        " (proof_id, suite, verdict, catalog_digest, offenders, rules_run, started_at, finished_at)"
        " values (%s, %s, %s, %s, %s, %s, %s, clock_timestamp())",
        (proof.proof_id, proof.suite, proof.verdict, digest, Jsonb(named), proof.rules_run, started_at),
    )


def _unproven(cell: Cell, suite: str, error: Exception, seconds: float, settings: Settings) -> Proof:
    """Return, and record if the cell can be reached, a verdict ``error``."""
    proof = Proof(uuid4(), cell, suite, "error", (), (kind_of(error),), rules_run=0, seconds=round(seconds, 3))
    try:
        with routing.connect(cell, "auditor", application_name="capstone proof", settings=settings) as connection:
            now: datetime = _row(connection, "select clock_timestamp()")[0]
            with connection.cursor() as cursor:
                _insert(cursor, proof, UNKNOWN_DIGEST, now)
    except (psycopg.Error, routing.CellUnavailableError, endpoints.EndpointError):
        # The gate needs no record to stay closed: within the hour the last green verdict is too old.
        return proof
    return _recorded(proof)


def _recorded(proof: Proof) -> Proof:
    return replace(proof, recorded=True)


def _row(connection: psycopg.Connection[TupleRow], query: str, parameters: tuple[object, ...] = ()) -> TupleRow:
    row = connection.execute(query, parameters or None).fetchone()
    if row is None:
        raise ProofError(f"no answer to: {query}")
    return row


def _one(connection: psycopg.Connection[TupleRow], query: str, parameters: tuple[object, ...] = ()) -> object:
    return _row(connection, query, parameters)[0]
