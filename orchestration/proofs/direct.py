"""A suite's rules asked over a plain connection: without Great Expectations, its pages and its seconds of import.

For what has to be proven many times in one proof (each tenant's own database) and for tests that plant one hole after
the other. The queries and their meaning are the same.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from orchestration.quality.suite import Rule, Suite
from orchestration.quality.validation import Offender, Session


@dataclass(frozen=True)
class Answer:
    """What a rule found; ``error``: the SQLSTATE that kept it from being asked."""

    rule: str
    offenders: tuple[Offender, ...]
    error: str | None = None


def ask(
    connection: psycopg.Connection[TupleRow],
    suite: Suite,
    session: Session,
    *,
    rules: Iterable[Rule] | None = None,
) -> list[Answer]:
    """Ask ``rules`` of ``suite`` (all, if not given) in one read-only transaction, and leave nothing behind.

    Raises:
        psycopg.OperationalError: the connection was lost.
    """
    answers = []
    with _asking(connection, session.settings):
        for rule in suite.rules if rules is None else rules:
            try:
                with connection.transaction():
                    rows = connection.execute(suite.query(rule).encode()).fetchall()
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                answers.append(Answer(rule.id, (), error.sqlstate))
            else:
                found = tuple(Offender(str(name), max(int(count or 0), 1)) for name, count in rows)
                answers.append(Answer(rule.id, found))
    return answers


@contextmanager
def _asking(connection: psycopg.Connection[TupleRow], settings: Mapping[str, str]) -> Iterator[None]:
    """Open a transaction with ``settings`` that is rolled back at the end."""
    with connection.transaction(force_rollback=True):
        connection.execute("set transaction isolation level repeatable read, read only")
        for name, value in settings.items():
            connection.execute("select pg_catalog.set_config(%s, %s, true)", (name, value))
        yield
