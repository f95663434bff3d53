"""Where the events of a question come from: a file, in a session of its own, or the rows of one tenant in its cell.

Either way the question sees a relation ``asked_events`` (tenant_id, user_id, occurred_at, event_type, properties) of
one tenant, and runs in a transaction that can only read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.analysis.events_file import COLUMNS, EventsFileError, Rejections, copy_text, read_events
from orchestration.analysis.render import REFERRER, render
from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import EndpointError
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.settings import Settings

Connection = psycopg.Connection[TupleRow]
Breakdown = Literal["device_type", "country", "referrer_domain"]
BREAKDOWNS: tuple[Breakdown, ...] = get_args(Breakdown)

# Reads everything of a cell, may make temporary tables, and never serves a tenant. What a question says goes into
# literals and parameters; the transaction only reads.
ROLE: endpoints.Role = "transformer"

# A server notices a client that was killed when it next writes to it: after a long query, unless it looks before.
CLIENT_CHECK_MILLISECONDS = 2_000

# One session sorts a file's events at a time: more than the server's default for many.
WORK_MEMORY = "64MB"

_APPLICATION = "capstone analysis"
_SQL = Path(__file__).parent / "sql"
# The tenant of a file's events: none, but the generators count per tenant.
_NO_TENANT = UUID(int=0)


class EventSourceError(RuntimeError):
    """The events cannot be asked; the message says which and why."""


@dataclass(frozen=True)
class EventSource:
    """A connection that sees the events of one question.

    Attributes:
        connection: read only, outside a transaction.
        tenant: whose rows they are; parameter ``tenant`` of every query.
        tables: name of a file below ``sql/`` with the common table expressions that begin every query.
    """

    connection: Connection
    tenant: UUID
    tables: str

    def rows(self, query: str, *more_tables: str) -> list[tuple[Any, ...]]:
        """Return the rows of ``query`` over ``asked_events``; it was rendered, so a per cent sign in it is itself.

        ``more_tables`` are further common table expressions, in which parameter ``tenant`` stands as well.

        Raises:
            EventSourceError: the cell has no such relations yet, or the server ended the query.
        """
        tables = (_SQL / self.tables).read_text(encoding="utf-8").strip()
        tables = ",\n".join([tables, *more_tables])
        text = f"{tables}\n{query.replace('%', '%%')}"
        try:
            with self.connection.transaction():
                # The text is made of files of this project and of literals that the generators quote.
                return self.connection.execute(text.encode(), {"tenant": self.tenant}).fetchall()
        except psycopg.errors.UndefinedTable:
            raise EventSourceError(
                "dbt has not built all of this cell that is asked: `capstone up` builds it"
            ) from None
        except psycopg.errors.QueryCanceled as error:
            raise EventSourceError(f"the server ended the query: {error.diag.message_primary}") from None


def prepare_session(connection: Connection) -> None:
    """Set what a session that asks the generators' questions needs, whatever the server's own settings."""
    for name, value in (
        ("client_connection_check_interval", str(CLIENT_CHECK_MILLISECONDS)),
        ("work_mem", WORK_MEMORY),
        # Generated queries are long, and compiling them takes longer than they do.
        ("jit", "off"),
        # The generators double quotes in literals and leave backslashes alone.
        ("standard_conforming_strings", "on"),
        ("TimeZone", "UTC"),
        # The planner takes a hypertable below UNION ALL for a handful of rows and would join each with each.
        # A matrix of a quarter of a million events took two minutes, and without nested loops a second.
        ("enable_nestloop", "off"),
        # For the same reason sorting looks as cheap to it as hashing: half the time of a funnel, more of a matrix.
        ("enable_sort", "off"),
        # And moving its rows between processes looks as cheap as grouping them first: each core is to group its own.
        ("cpu_operator_cost", "0"),
    ):
        connection.execute("select set_config(%s, %s, false)", (name, value))


def first_local_cell(settings: Settings) -> Cell:
    """Return the first cell whose local server answers.

    Raises:
        EventSourceError: none does. Somebody else's server is used only when its cell is named.
    """
    reasons = []
    for cell in CELLS:
        try:
            if endpoints.postgres(cell, settings).external:
                continue
            routing.connect(cell, ROLE, application_name=_APPLICATION, settings=settings).close()
        except EndpointError as error:
            reasons.append(str(error))
        except CellUnavailableError as error:
            reasons.append(str(error))
        else:
            return cell
    why = f" ({reasons[0]})" if reasons else ""
    raise EventSourceError(
        f"no local cell answers{why}: start the platform with `capstone up`, or name a cell with --cell"
    )


@contextmanager
def events_of_file(
    path: Path, cell: Cell, rejections: Rejections, *, skip_rejected: bool, settings: Settings
) -> Iterator[EventSource]:
    """Load a file into a temporary table of a session in ``cell``; nothing stays behind, however the block ends.

    Args:
        path: of JSON lines, see :mod:`orchestration.analysis.events_file`.
        cell: whose server computes.
        rejections: what is wrong with lines, filled here.
        skip_rejected: go on without them.
        settings: of the platform.

    Raises:
        EventsFileError: the file cannot be read, or lines were rejected and are not to be skipped; lists them.
        CellUnavailableError: the cell's server does not answer.
    """
    with routing.connect(cell, ROLE, autocommit=True, application_name=_APPLICATION, settings=settings) as connection:
        prepare_session(connection)
        connection.execute((_SQL / "events_of_file.sql").read_bytes())
        columns = sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS)
        command = sql.SQL("copy pg_temp.events_of_file ({}) from stdin").format(columns)
        with connection.cursor() as cursor, cursor.copy(command) as copy:
            for block in read_events(path, rejections):
                # With a line to be told of, the rest of the file is read for the others like it.
                if skip_rejected or not rejections.count:
                    copy.write(copy_text(block))
            if rejections.count and not skip_rejected:
                raise EventsFileError(
                    f"{rejections.count} lines of {path} are rejected (--skip-rejected goes on without them):\n"
                    f"{rejections.listed(path)}"
                )
        connection.execute("analyze pg_temp.events_of_file")
        connection.read_only = True
        yield EventSource(connection, _NO_TENANT, "file_events.sql")


@contextmanager
def events_of_tenant(tenant: str, cell: Cell, *, settings: Settings) -> Iterator[EventSource]:
    """Open a read-only connection to ``cell`` for the events of one tenant, given by id or subdomain.

    Raises:
        EventSourceError: no such tenant there; says where it lives when another cell that answers has it.
        CellUnavailableError: the cell's server does not answer.
    """
    with routing.connect(cell, ROLE, autocommit=True, application_name=_APPLICATION, settings=settings) as connection:
        connection.read_only = True
        prepare_session(connection)
        found = _tenant_id(connection, tenant)
        if found is None:
            elsewhere = [other for other in CELLS if other != cell and _lives_in(other, tenant, settings)]
            hint = f"it lives in cell {elsewhere[0]!r}" if elsewhere else "an id or a subdomain is needed"
            raise EventSourceError(f"cell {cell!r} has no tenant {tenant!r}: {hint}")
        yield EventSource(connection, found, "tenant_events.sql")


def _tenant_id(connection: Connection, tenant: str) -> UUID | None:
    if "\0" in tenant:
        return None
    row = connection.execute(
        "select id from saas.tenants where id::text = lower(%(tenant)s) or subdomain = %(tenant)s", {"tenant": tenant}
    ).fetchone()
    return None if row is None else UUID(str(row[0]))


def _lives_in(cell: Cell, tenant: str, settings: Settings) -> bool:
    try:
        with routing.connect(cell, ROLE, application_name=_APPLICATION, settings=settings) as connection:
            return _tenant_id(connection, tenant) is not None
    except (CellUnavailableError, EndpointError, psycopg.Error):
        # Only for a better message: what does not answer has nothing to add.
        return False


def first_touches(breakdown: Breakdown) -> str:
    """Return a common table expression ``first_touches`` (tenant_id, user_id, breakdown_value), one row per user.

    A user's value is that of the first of all their events; as in the marts the lower event_id is first at equal times.
    """
    value = render(REFERRER, "referrer_domain", referrer="referrer") if breakdown == "referrer_domain" else breakdown
    text = (_SQL / "first_touches.sql").read_text(encoding="utf-8")
    return text.replace("breakdown_expression", value.replace("%", "%%")).strip()


def kept_sequences() -> str:
    """Return a common table expression ``kept_sequences``: the tenant's, as dbt's last run left them."""
    return (_SQL / "kept_sequences.sql").read_text(encoding="utf-8").strip()
