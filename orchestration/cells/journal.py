"""Journals of resumable operations in a cell: a verb is a row of steps, and a killed one goes on where it was.

Each step is idempotent: it may run again after it had all its effect and the process was killed before the journal
said so. Whoever repeats the verb for the same subject (a tenant, a person) resumes the open operation; another verb
for it is refused until then. One process at a time works on a subject: a session's advisory lock, which ends with the
process.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings

# The server notices a moment later that a process was killed, and holds its lock until then.
LOCK_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.05

Connection = psycopg.Connection[TupleRow]

Moment = Literal["started", "worked", "finished", "passed"]


class OperationError(RuntimeError):
    """An operation cannot be begun or resumed; the message says why and what to do."""


@dataclass(frozen=True)
class Journal:
    """A journal that every cell has.

    Attributes:
        table: in schema platform.
        subject: its column with the subject's id.
        noun: what the subject is, for people: tenant, person.
        lock_space: namespace of its advisory locks; it only has to be nobody else's.
        reading_verbs: verbs that change nothing: an unfinished one is given up when another verb is asked for.
    """

    table: str
    subject: str
    noun: str
    lock_space: int
    reading_verbs: frozenset[str]

    def statement(self, text: LiteralString) -> sql.Composed:
        """Return ``text`` with the names of this journal in the place of ``{table}`` and ``{subject}``."""
        return sql.SQL(text).format(table=sql.Identifier("platform", self.table), subject=sql.Identifier(self.subject))


@dataclass(frozen=True)
class StepProgress:
    """What :func:`run_steps` tells of a step.

    Attributes:
        verb: of the operation.
        step: the step's name.
        number: of this step, from 1.
        steps: how many there are.
        moment: started; worked (its effect is there, the journal does not say so yet); finished; or passed: an
            earlier run had finished it.
        detail: what the step said about its work, in counts; empty before.
        seconds: that the step took; 0 before.
    """

    verb: str
    step: str
    number: int
    steps: int
    moment: Moment
    detail: str = ""
    seconds: float = 0.0

    def describe(self) -> str:
        """Return one line for people."""
        said = f": {self.detail}" if self.detail else ""
        ends = {
            "started": "…",
            "worked": " worked",
            "finished": f" ({self.seconds:.1f} s)",
            "passed": " was done before",
        }
        return f"{self.verb} {self.number}/{self.steps} {self.step}{said}{ends[self.moment]}"


Progress = Callable[[StepProgress], None]


def silent(_: StepProgress) -> None:
    """Report to nobody."""


@dataclass(frozen=True)
class Step:
    """One idempotent step: a name that stays the same from version to version, and what it does.

    ``work`` returns what it did in counts, for people; never a value of a row.
    """

    name: str
    work: Callable[[], str | None]


@dataclass
class Operation:
    """An open operation: its row of the journal, held by this process.

    Attributes:
        journal: whose row it is.
        subject_id: the tenant or person.
        resumed: whether an earlier process had begun it.
        step: the last step that was finished.
        arguments: what was asked for.
        facts: what :meth:`remember` kept.
    """

    journal: Journal
    operation_id: UUID
    subject_id: UUID
    cell: Cell
    verb: str
    arguments: Mapping[str, Any]
    facts: dict[str, Any]
    step: str | None
    resumed: bool
    _connection: Connection = field(repr=False)

    def remember(self, **facts: object) -> None:
        """Keep what later steps need to know, for whoever resumes; names and counts, nothing personal."""
        self.facts.update(facts)
        self._connection.execute(self.journal.statement(_REMEMBER), (Jsonb(self.facts), self.operation_id))

    def reached(self, step: str | None) -> None:
        """Record ``step`` as the last finished one; None begins again from the first."""
        self._connection.execute(self.journal.statement(_REACHED), (step, self.operation_id))
        self.step = step

    def close(self, state: Literal["failed", "done", "undone"], error: str | None = None) -> None:
        """Record how it ended."""
        self._connection.execute(self.journal.statement(_CLOSE), (state, error, self.operation_id))


@dataclass(frozen=True)
class Journaled:
    """A row of the journal, as others may read it."""

    operation_id: UUID
    verb: str
    step: str | None
    state: str
    arguments: Mapping[str, Any]
    facts: Mapping[str, Any]


_OPEN: LiteralString = """
    select operation_id, verb, step, state, arguments, facts
    from {table} where {subject} = %s and state in ('running', 'failed')
"""
_BEGIN: LiteralString = "insert into {table} ({subject}, verb, arguments) values (%s, %s, %s) returning operation_id"
_GIVE_UP: LiteralString = """
    update {table} set state = 'undone', updated_at = clock_timestamp() where operation_id = %s
"""
_REMEMBER: LiteralString = "update {table} set facts = %s, updated_at = clock_timestamp() where operation_id = %s"
_REACHED: LiteralString = """
    update {table} set step = %s, state = 'running', error = null, updated_at = clock_timestamp()
    where operation_id = %s
"""
_CLOSE: LiteralString = """
    update {table} set state = %s, error = %s, updated_at = clock_timestamp() where operation_id = %s
"""


def _read_open(connection: Connection, journal: Journal, subject_id: UUID) -> Journaled | None:
    row = connection.execute(journal.statement(_OPEN), (subject_id,)).fetchone()
    return Journaled(*row) if row is not None else None


def open_operation_of(
    journal: Journal, cell: Cell, subject_id: UUID, settings: Settings | None = None
) -> Journaled | None:
    """Return the operation that was begun for the subject and has not ended, if there is one."""
    with routing.connect(cell, "loader", autocommit=True, settings=settings or get_settings()) as connection:
        return _read_open(connection, journal, subject_id)


def _lock(connection: Connection, journal: Journal, subject_id: UUID) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while True:
        row = connection.execute(
            "select pg_try_advisory_lock(%s, hashtext(%s))", (journal.lock_space, str(subject_id))
        ).fetchone()
        if row is not None and row[0]:
            return
        if time.monotonic() >= deadline:
            raise OperationError(
                f"another process is at work on {journal.noun} {subject_id}: wait until it has ended "
                f"(pg_stat_activity shows it as 'capstone {journal.noun} …'), then repeat the command"
            )
        time.sleep(_POLL_SECONDS)


def _same(found: Journaled, verb: str, asked: Mapping[str, Any]) -> bool:
    return found.verb == verb and found.arguments == asked


@contextmanager
def operation(
    journal: Journal,
    cell: Cell,
    subject_id: UUID,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
) -> Iterator[Operation]:
    """Begin the operation, or resume it where the same verb with the same arguments is open; hold the subject's lock.

    The journal is in ``cell``; the connection is open as long as the block.

    Args:
        journal: which.
        cell: whose database keeps the journal of it.
        subject_id: the tenant or person; it need not exist (create, restore).
        verb: lower case letters.
        arguments: what was asked for, as JSON; names only, nothing personal.
        settings: which platform.

    Raises:
        OperationError: another process works on the subject, or another operation of it is open.
        CellUnavailableError: the cell does not answer.
    """
    asked = dict(arguments or {})
    name = f"capstone {journal.noun} {verb}"
    with routing.connect(
        cell, "loader", autocommit=True, application_name=name, settings=settings or get_settings()
    ) as connection:
        _lock(connection, journal, subject_id)
        found = _read_open(connection, journal, subject_id)
        if found is not None and found.verb in journal.reading_verbs and not _same(found, verb, asked):
            connection.execute(journal.statement(_GIVE_UP), (found.operation_id,))
            found = None
        if found is None:
            row = connection.execute(journal.statement(_BEGIN), (subject_id, verb, Jsonb(asked))).fetchone()
            if row is None:
                raise OperationError(f"the journal of cell {cell!r} took no entry: look for a trigger on it")
            yield Operation(journal, row[0], subject_id, cell, verb, asked, {}, None, False, connection)
            return
        if not _same(found, verb, asked):
            words = " ".join(f"{key}={value}" for key, value in found.arguments.items())
            raise OperationError(
                f"{journal.noun} {subject_id} is in the middle of another operation: {found.verb} {words}".rstrip()
                + f" got as far as {found.step or 'its beginning'!r}. Repeat that command to end it"
                + (", or roll it back with --rollback" if found.verb == "move" else "")
            )
        facts = dict(found.facts)
        yield Operation(
            journal, found.operation_id, subject_id, cell, verb, found.arguments, facts, found.step, True, connection
        )


def failure(error: Exception) -> str:
    """Return why a step failed without anyone's values: the project's own messages, of others only their kind."""
    if type(error).__module__.startswith("orchestration."):
        return str(error)
    if isinstance(error, psycopg.Error):
        # The detail of a violated constraint quotes the row.
        return f"{type(error).__name__} ({error.sqlstate or 'no connection'})"
    return type(error).__name__


def run_steps(operation: Operation, steps: Sequence[Step], progress: Progress = silent, *, close: bool = True) -> None:
    """Run what is still to be done of ``steps``, in order, and close the operation as done.

    Args:
        operation: from :func:`operation`.
        steps: all of the verb's steps, also those that an earlier run has finished.
        progress: told of every step; what it raises ends the run as a kill would.
        close: False where the last step closes the operation itself.

    Raises:
        OperationError: the journal names a step that this version does not have.
        Exception: whatever a step raised; the operation is then recorded as failed, and repeating the verb goes on.
    """
    names = [step.name for step in steps]
    if operation.step is not None and operation.step not in names:
        raise OperationError(
            f"the {operation.verb} of {operation.journal.noun} {operation.subject_id} was begun by another version of "
            f"this program: it knows no step {operation.step!r}; finish it with that version"
        )
    done = names.index(operation.step) + 1 if operation.step is not None else 0
    for number, step in enumerate(steps, start=1):

        def tell(
            moment: Moment, detail: str = "", seconds: float = 0.0, *, step: Step = step, number: int = number
        ) -> None:
            progress(StepProgress(operation.verb, step.name, number, len(steps), moment, detail, seconds))

        if number <= done:
            tell("passed")
            continue
        tell("started")
        started = time.perf_counter()
        try:
            detail = step.work() or ""
        except Exception as error:
            # Where even the journal cannot be reached the operation stays "running", which resumes as well.
            with suppress(psycopg.Error):
                operation.close("failed", failure(error))
            raise
        seconds = time.perf_counter() - started
        tell("worked", detail, seconds)
        last = number == len(steps)
        if not (last and not close):
            operation.reached(step.name)
        tell("finished", detail, seconds)
    if close:
        operation.close("done")
