"""The journal of what is done to persons: who is meant is known only while an operation is open."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from orchestration.cells import endpoints, routing
from orchestration.cells.journal import Journal, Operation
from orchestration.cells.regions import CELLS, Cell
from orchestration.persons.digests import person_digest
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.stale_days import stale_days

PERSONS = Journal(
    table="person_operations",
    subject="person_id",
    noun="person",
    lock_space=0x70657273,  # "pers"
    reading_verbs=frozenset({"access"}),
)

# In the journal instead of a person's id, once an operation has ended.
NOBODY = UUID(int=0)

Figures = Literal["pending", "built", "unknown"]

# An open operation: the cell of its journal, its arguments, its facts.
Begun = tuple[Cell, Mapping[str, Any], Mapping[str, Any]]

_END = """
    update platform.person_operations
    set person_id = %s, state = %s, step = %s, arguments = '{}', facts = %s, updated_at = clock_timestamp()
    where operation_id = %s
"""
_LIST = """
    select operation_id, verb, state, step, started_at, updated_at, error, facts -> 'counts', facts ->> 'digest',
        facts ->> 'salt'
    from platform.person_operations order by started_at desc limit %s
"""


@dataclass(frozen=True)
class PersonOperation:
    """A row of the journal, without whom it is about.

    Attributes:
        operation_id: the operation; of an erasure also the certificate's id.
        cell: whose journal.
        verb: access, erase, move or arrive.
        state: running, failed, done or undone.
        step: last finished step.
        started_at, updated_at: when it was asked for, when it last got further.
        error: why it stopped.
        counts: what was done, once it has ended.
        figures: of an erasure or a move that has ended: whether figures of many persons are counted without the person:
            pending while any day that was marked before its end, by whomever, waits to be built again; then built.
            Unknown where a cell does not answer. Nothing ties a day to an operation: it would say when the person came.
        digest, salt: of the person, once it has ended: whoever knows the id can check whether it is meant.
    """

    operation_id: UUID
    cell: Cell
    verb: str
    state: str
    step: str | None
    started_at: datetime
    updated_at: datetime
    error: str | None
    counts: Mapping[str, int]
    digest: str | None
    salt: str | None
    figures: Figures | None = None

    def is_of(self, person_id: UUID) -> bool:
        """Return whether an operation that has ended was on this person."""
        return self.digest is not None and self.digest == person_digest(person_id, self.salt or "")


def end(
    running: Operation,
    step: str,
    counts: Mapping[str, int],
    settings: Settings,
    *,
    state: Literal["done", "undone"] = "done",
) -> None:
    """Record the operation as ended, with a salted digest in the place of everything that leads to the person."""
    salt = str(running.facts.get("salt") or secrets.token_hex(16))
    facts: dict[str, Any] = {
        "digest": person_digest(running.subject_id, salt),
        "salt": salt,
        "counts": dict(counts),
    }
    with routing.connect(running.cell, "loader", autocommit=True, settings=settings) as connection:
        connection.execute(_END, (NOBODY, state, step, Jsonb(facts), running.operation_id))


def list_operations(
    cells: Iterable[Cell] = CELLS, *, most: int = 50, settings: Settings | None = None
) -> list[PersonOperation]:
    """Return the newest operations of ``cells``, the newest first.

    Raises:
        CellUnavailableError: a cell does not answer.
    """
    settings = settings or get_settings()
    found: list[PersonOperation] = []
    for cell in cells:
        with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
            rows = connection.execute(_LIST, (most,)).fetchall()
        found += [
            PersonOperation(operation, cell, verb, state, step, started, updated, error, counts or {}, digest, salt)
            for operation, verb, state, step, started, updated, error, counts, digest, salt in rows
        ]
    marked = _marked(settings)
    told = [replace(each, figures=_figures(each, marked)) for each in found]
    return sorted(told, key=lambda each: each.started_at, reverse=True)[:most]


def _marked(settings: Settings) -> Sequence[datetime] | None:
    """Return when the oldest day of each cell that is still to be built again was marked; None: a cell is silent."""
    try:
        found = [stale_days(cell, settings).since for cell in CELLS]
    except (routing.CellUnavailableError, endpoints.EndpointError):
        return None
    return [since for since in found if since is not None]


def _figures(done: PersonOperation, marked: Sequence[datetime] | None) -> Figures | None:
    if done.verb not in ("erase", "move") or done.state != "done":
        return None
    if marked is None:
        return "unknown"
    return "pending" if any(since <= done.updated_at for since in marked) else "built"


def open_in(person_id: UUID, verb: str, settings: Settings) -> tuple[Cell, Mapping[str, Any], Mapping[str, Any]] | None:
    """Return the cell, arguments and facts of a verb that was begun for the person and has not ended.

    Cells that do not answer are passed over: whoever goes on needs them anyway, and is told then.
    """
    for cell in CELLS:
        try:
            with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
                row = connection.execute(
                    "select arguments, facts from platform.person_operations "
                    "where person_id = %s and verb = %s and state in ('running', 'failed')",
                    (person_id, verb),
                ).fetchone()
        except (routing.CellUnavailableError, endpoints.EndpointError):
            continue
        if row is not None:
            return cell, row[0], row[1]
    return None
