"""The databases of single tenants: the rules that apply, asked in each of them, and who gets in.

A cell's proof speaks of the cell's database. A tenant of model database has its rows in another one, so that the
proof goes there too: as auditor, over a plain connection, for at most ``MOST_SECONDS`` in all. A database that was not
reached in that time, or could not be asked, counts as one that is violated: nothing is left out silently.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Edition, Relation
from orchestration.proofs.direct import ask
from orchestration.proofs.session import rule_session
from orchestration.quality.suite import Suite
from orchestration.settings import Settings
from orchestration.tenancy import tenant_logins

# A tenant's database takes about 0.3 s of one core; the whole suite of a cell has to stay below 30 s.
MOST_SECONDS = 20.0

# Asked of the cell, whose roles and databases they are; or about attacks, which are made there.
_OF_THE_CELL = frozenset(
    {
        "databases_are_closed",
        "tenant_logins_are_confined",
        "tenant_schemas_hold_one_tenant",
        "tenant_schemas_look_like_the_shared",
        "tenant_databases_are_proven",
        "own_rows_are_seen",
        "attacks_ran",
        "no_attack_succeeds",
    }
)
# The domains that a tenant's database has; events and marts stay in the cell's.
_SCHEMAS = frozenset({"platform", "metering", "geo", "saas", "ecommerce"})

# How a server says that somebody may not enter; at a login there is no SQLSTATE to go by.
_REFUSALS = ("permission denied for database", "is not permitted to log in", "no pg_hba.conf entry")

_DATABASES = Path(__file__).with_name("tenant_databases.sql")


@dataclass(frozen=True)
class Finding:
    """What is wrong in a tenant's database; ``object``: its name, and the rule and object, or what was tried."""

    object: str
    offenders: int = 1


@dataclass(frozen=True)
class DatabaseProofs:
    """What was found in how many databases."""

    asked: int
    findings: tuple[Finding, ...]

    def as_setting(self) -> dict[str, str]:
        """Return the setting by which the rule ``tenant_databases_are_proven`` reads it."""
        return {"proof.tenant_databases": json.dumps([asdict(each) for each in self.findings])}


@dataclass(frozen=True)
class _Question:
    """What is asked of every database: the rules, and of them those relations that such a database has."""

    cell: Cell
    suite: Suite
    relations: tuple[Relation, ...]
    settings: Settings
    edition: Edition


def prove_databases(
    auditor: psycopg.Connection[TupleRow],
    cell: Cell,
    suite: Suite,
    relations: Sequence[Relation],
    settings: Settings,
    *,
    edition: Edition = "apache",
    most_seconds: float = MOST_SECONDS,
) -> DatabaseProofs:
    """Prove every database of ``cell`` that serves a tenant of its own.

    Args:
        auditor: open to the cell's own database.
        suite: of whose rules those that apply are asked.
    """
    names = [str(row[0]) for row in auditor.execute(_DATABASES.read_text())]
    there = tuple(relation for relation in relations if relation.schema in _SCHEMAS)
    question = _Question(cell, suite, there, settings, edition)
    deadline = time.monotonic() + most_seconds
    findings: list[Finding] = []
    asked = 0
    for name in names:
        if time.monotonic() > deadline:
            findings.append(Finding(f"{name} (not reached within {most_seconds:.0f} s)"))
            continue
        asked += 1
        findings += _entered(cell, name, settings)
        findings += _asked(question, name)
    return DatabaseProofs(asked, tuple(findings))


def _asked(question: _Question, name: str) -> Iterator[Finding]:
    session = rule_session(
        question.cell, question.relations, edition=question.edition, further={"proof.tenant_login": name}
    )
    rules = [rule for rule in question.suite.rules if rule.id not in _OF_THE_CELL]
    try:
        with routing.connect(
            question.cell,
            "auditor",
            database=name,
            autocommit=True,
            application_name="capstone proof",
            settings=question.settings,
        ) as connection:
            for answer in ask(connection, question.suite, session, rules=rules):
                if answer.error is not None:
                    yield Finding(f"{name} ({answer.rule} could not be asked: {answer.error})")
                for offender in answer.offenders:
                    yield Finding(f"{name} ({answer.rule}: {offender.object})", offender.count)
            for relation in question.relations:
                if relation.kind == "tenant" and relation.relkind == "table":
                    yield from _others(connection, name, relation)
    except (psycopg.Error, routing.CellUnavailableError) as error:
        yield Finding(f"{name} (could not be asked: {type(error).__name__})")


def _others(connection: psycopg.Connection[TupleRow], name: str, relation: Relation) -> Iterator[Finding]:
    """Rows of another tenant, by two looks into the index on the tenant."""
    query = sql.SQL(
        "select exists (select from {relation} where {tenant} < {own}) or exists"
        " (select from {relation} where {tenant} > {own})"
    ).format(
        relation=sql.Identifier(relation.schema, relation.table),
        tenant=sql.Identifier(relation.tenant_column or "tenant_id"),
        own=name.removeprefix("tenant_"),
    )
    row = connection.execute(query).fetchone()
    if row is None or row[0]:
        yield Finding(f"{name} (another tenant's rows in {relation.name})")


def _entered(cell: Cell, name: str, settings: Settings) -> Iterator[Finding]:
    """Try to enter the tenant's database as app, and the cell's as the tenant."""
    tries = {
        "entered by app": endpoints.dsn(cell, "app", database=name, settings=settings),
        "its login enters the cell": _cells_dsn(cell, name, settings),
    }
    for what, dsn in tries.items():
        if dsn is None:
            continue
        try:
            psycopg.connect(dsn, connect_timeout=settings.connect_timeout_seconds).close()
        except psycopg.OperationalError as error:
            # A server that is full or slow has refused nobody.
            if not any(refusal in str(error) for refusal in _REFUSALS):
                yield Finding(f"{name} (whether {what} could not be tried)")
            continue
        yield Finding(f"{name} ({what})")


def _cells_dsn(cell: Cell, login: str, settings: Settings) -> str | None:
    """Return the URL of the cell's database with a tenant's login; None where its password is elsewhere."""
    try:
        dsn = tenant_logins.dsn(cell, login, settings)
    except endpoints.EndpointError:
        return None
    database = endpoints.postgres(cell, settings).database
    head, _, tail = dsn.rpartition(f"/{login}")
    return f"{head}/{database}{tail}"
