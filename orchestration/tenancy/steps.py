"""The journal of resumable operations on a tenant: a verb is a row of steps, and a killed one goes on where it was.

Each step is idempotent: it may run again after it had all its effect and the process was killed before the journal
said so. Whoever repeats the verb for the same tenant resumes the open operation; another verb for that tenant is
refused until then. One process at a time works on a tenant: a session's advisory lock, which ends with the process.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings

Connection = psycopg.Connection[TupleRow]

# Verbs that change nothing of a tenant: an unfinished one is given up when another verb is asked for.
READING_VERBS = frozenset({"export", "backup"})

# Namespace of the advisory locks of operations; the number only has to be nobody else's.
_LOCK_SPACE = 0x74656E61  # "tena"

Moment = Literal["started", "worked", "finished", "passed"]


class OperationError(RuntimeError):
    """An operation on a tenant cannot be begun or resumed; the message says why and what to do."""


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
    """An open operation: its row of ``platform.tenant_operations``, held by this process.

    Attributes:
        resumed: whether an earlier process had begun it.
        step: the last step that was finished.
        arguments: what was asked for.
        facts: what :meth:`remember` kept.
    """

    operation_id: UUID
    tenant_id: UUID
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
        self._connection.execute(
            "update platform.tenant_operations set facts = %s, updated_at = clock_timestamp() where operation_id = %s",
            (Jsonb(self.facts), self.operation_id),
        )

    def reached(self, step: str | None) -> None:
        """Record ``step`` as the last finished one; None begins again from the first."""
        self._connection.execute(
            "update platform.tenant_operations set step = %s, state = 'running', error = null, "
            "updated_at = clock_timestamp() where operation_id = %s",
            (step, self.operation_id),
        )
        self.step = step

    def close(self, state: Literal["failed", "done", "undone"], error: str | None = None) -> None:
        """Record how it ended."""
        self._connection.execute(
            "update platform.tenant_operations set state = %s, error = %s, updated_at = clock_timestamp() "
            "where operation_id = %s",
            (state, error, self.operation_id),
        )


@dataclass(frozen=True)
class Journaled:
    """A row of the journal, as others may read it."""

    operation_id: UUID
    verb: str
    step: str | None
    state: str
    arguments: Mapping[str, Any]
    facts: Mapping[str, Any]


_OPEN = """
    select operation_id, verb, step, state, arguments, facts
    from platform.tenant_operations where tenant_id = %s and state in ('running', 'failed')
"""
_BEGIN = """
    insert into platform.tenant_operations (tenant_id, verb, arguments) values (%s, %s, %s) returning operation_id
"""
_GIVE_UP = """
    update platform.tenant_operations set state = 'undone', updated_at = clock_timestamp() where operation_id = %s
"""


def _read_open(connection: Connection, tenant_id: UUID) -> Journaled | None:
    row = connection.execute(_OPEN, (tenant_id,)).fetchone()
    return Journaled(*row) if row is not None else None


def open_operation_of(cell: Cell, tenant_id: UUID, settings: Settings | None = None) -> Journaled | None:
    """Return the operation that was begun for the tenant and has not ended, if there is one."""
    with routing.connect(cell, "loader", autocommit=True, settings=settings or get_settings()) as connection:
        return _read_open(connection, tenant_id)


def _lock(connection: Connection, tenant_id: UUID) -> None:
    row = connection.execute("select pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK_SPACE, str(tenant_id))).fetchone()
    if row is None or not row[0]:
        raise OperationError(
            f"another process is at work on tenant {tenant_id}: wait until it has ended "
            "(pg_stat_activity shows it as 'capstone tenant …'), then repeat the command"
        )


def _same(found: Journaled, verb: str, asked: Mapping[str, Any]) -> bool:
    return found.verb == verb and found.arguments == asked


@contextmanager
def operation(
    cell: Cell,
    tenant_id: UUID,
    verb: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
) -> Iterator[Operation]:
    """Begin the operation, or resume it where the same verb with the same arguments is open; hold the tenant's lock.

    The journal is in ``cell``; the connection is open as long as the block.

    Args:
        cell: whose database keeps the journal of it.
        tenant_id: the tenant; it need not exist (create, restore).
        verb: lower case letters.
        arguments: what was asked for, as JSON; names only, nothing personal.
        settings: which platform.

    Raises:
        OperationError: another process works on the tenant, or another operation of it is open.
        CellUnavailableError: the cell does not answer.
    """
    asked = dict(arguments or {})
    with routing.connect(
        cell, "loader", autocommit=True, application_name=f"capstone tenant {verb}", settings=settings or get_settings()
    ) as connection:
        _lock(connection, tenant_id)
        found = _read_open(connection, tenant_id)
        if found is not None and found.verb in READING_VERBS and not _same(found, verb, asked):
            connection.execute(_GIVE_UP, (found.operation_id,))
            found = None
        if found is None:
            row = connection.execute(_BEGIN, (tenant_id, verb, Jsonb(asked))).fetchone()
            if row is None:
                raise OperationError(f"the journal of cell {cell!r} took no entry: look for a trigger on it")
            yield Operation(row[0], tenant_id, cell, verb, asked, {}, None, False, connection)
            return
        if not _same(found, verb, asked):
            words = " ".join(f"{key}={value}" for key, value in found.arguments.items())
            raise OperationError(
                f"tenant {tenant_id} is in the middle of another operation: {found.verb} {words}".rstrip()
                + f" got as far as {found.step or 'its beginning'!r}. Repeat that command to end it"
                + (", or roll it back with --rollback" if found.verb == "move" else "")
            )
        yield Operation(
            found.operation_id, tenant_id, cell, verb, found.arguments, dict(found.facts), found.step, True, connection
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
            f"the {operation.verb} of tenant {operation.tenant_id} was begun by another version of this program: "
            f"it knows no step {operation.step!r}; finish it with that version"
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
