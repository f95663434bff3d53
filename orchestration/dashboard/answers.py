"""Asking the dashboard's queries in a tenant's name, from threads or from tasks.

    with PostgresCells() as cells:
        tenant, pool = cells.pool_of("acme")                        # in whichever cell it lives
        answer = ask(pool, tenant, Question("events_per_hour"))

Several questions are asked in one transaction, so that a page's figures are of one moment and the tenant's context is
entered once. The two functions differ in nothing but waiting: a service that answers requests of tenants uses the
asynchronous one with the pool that it has.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg

from orchestration.cells.tenant_pool import AsyncTenantPool, TenantLike, TenantPool
from orchestration.dashboard.queries import DashboardQuery, Question, Statement, statement


class DashboardUnavailableError(RuntimeError):
    """The answer cannot be had now; the message says why and the way out."""


@dataclass(frozen=True)
class Answer:
    """What a query answered.

    Attributes:
        query: the query.
        start: of the range that it covers, UTC; ``stop`` likewise, excluded.
        stop: see ``start``.
        columns: names of the columns.
        rows: of them.
    """

    query: DashboardQuery
    start: datetime
    stop: datetime
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def as_json(self) -> dict[str, Any]:
        """Return ``{name, description, sources, from, to, columns, rows: [{column: value}]}``; times are ISO 8601."""
        return {
            "name": self.query.name,
            "description": self.query.description,
            "sources": list(self.query.sources),
            "from": self.start.isoformat(),
            "to": self.stop.isoformat(),
            "columns": list(self.columns),
            "rows": [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows],
        }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value.isoformat() if isinstance(value, date) else value


@contextmanager
def _explained(statement: Statement) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UndefinedTable:
        raise DashboardUnavailableError(
            f"{' or '.join(statement.query.sources)} is not there yet: `capstone up` builds it"
        ) from None
    except psycopg.errors.QueryCanceled as error:
        raise DashboardUnavailableError(
            f"the server ended {statement.query.name} ({error.diag.message_primary}): ask for a shorter range"
        ) from None


def _answer(statement: Statement, cursor: "psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]", rows: list[Any]) -> Answer:
    columns = tuple(column.name for column in cursor.description or ())
    return Answer(statement.query, statement.start, statement.stop, columns, tuple(rows))


def ask(pool: TenantPool, tenant: TenantLike, question: Question) -> Answer:
    """Return the answer to a question; see :func:`ask_all`."""
    return ask_all(pool, tenant, [question])[0]


def ask_all(pool: TenantPool, tenant: TenantLike, questions: Sequence[Question]) -> list[Answer]:
    """Return the answers to several questions, all in one transaction of the tenant.

    Raises:
        DashboardError: a question cannot be asked; nothing was.
        DashboardUnavailableError: a relation is not there yet, or the server ended a query.
        TenantContextError: see :meth:`TenantPool.tenant`.
    """
    statements = [statement(question) for question in questions]
    answers = []
    with pool.tenant(tenant) as connection:
        for each in statements:
            with _explained(each):
                # Never prepared: a plan for any range would hold every chunk.
                cursor = connection.execute(each.text, each.parameters, prepare=False)
                answers.append(_answer(each, cursor, cursor.fetchall()))
    return answers


async def ask_async(pool: AsyncTenantPool, tenant: TenantLike, question: Question) -> Answer:
    """Return the answer to a question; see :func:`ask_all`."""
    return (await ask_all_async(pool, tenant, [question]))[0]


async def ask_all_async(pool: AsyncTenantPool, tenant: TenantLike, questions: Sequence[Question]) -> list[Answer]:
    """Return the answers to several questions; see :func:`ask_all`."""
    statements = [statement(question) for question in questions]
    answers = []
    async with pool.tenant(tenant) as connection:
        for each in statements:
            with _explained(each):
                cursor = await connection.execute(each.text, each.parameters, prepare=False)
                answers.append(_answer(each, cursor, await cursor.fetchall()))
    return answers
