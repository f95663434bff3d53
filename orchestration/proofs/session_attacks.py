"""Live attacks on sessions: what one borrower of a pooled connection leaves to the next, and plans that are kept.

One connection of a pool, borrowed in turn by two tenants and by nobody in particular. Whatever the one before did (an
error, a timeout, a pipeline, a transaction left open, a setting beyond it), the next has to see its own rows only, or
be refused. The rows looked at are the tenants' own in ``saas.tenants``, of which each has exactly one.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.cells.tenant_context import TenantContextError, tenant_context
from orchestration.proofs.attacks import Attack
from orchestration.settings import Settings

SESSIONS = "sessions of app"
POOL_TIMEOUT_SECONDS = 10.0

# A plan that is kept is used from the first time on.
_GENERIC = "set local plan_cache_mode = force_generic_plan"
_KEPT = "prepare proof_kept_plan as select tenant_id from saas.tenants"

Connection = psycopg.Connection[TupleRow]


class _GivenUpError(Exception):
    """What a borrower raises halfway."""


@dataclass(frozen=True)
class _Pair:
    own: UUID
    other: UUID


def attack_sessions(cell: Cell, settings: Settings) -> list[Attack]:
    """Attack the sessions of role ``app`` in ``cell``; nothing if it has no tenant that is open.

    Raises:
        psycopg.Error, CellUnavailableError: the attacks could not be carried out, so nothing is proven.
    """
    with routing.connect(cell, "auditor", application_name="capstone proof", settings=settings) as auditor:
        rows = auditor.execute(
            "select t.id from saas.tenants as t where not exists"
            " (select from saas.tenant_fences as f where f.tenant_id = t.id) order by t.id limit 2"
        ).fetchall()
    if not rows:
        return []
    pair = _Pair(rows[0][0], rows[1][0] if len(rows) > 1 else uuid4())
    with ConnectionPool(
        endpoints.dsn(cell, "app", settings=settings),
        min_size=1,
        max_size=1,
        timeout=POOL_TIMEOUT_SECONDS,
        kwargs={"application_name": "capstone attack", "connect_timeout": settings.connect_timeout_seconds},
    ) as pool:
        pool.wait(POOL_TIMEOUT_SECONDS)
        return [*_beginnings(pool), *_borrowings(pool, pair), *_kept_plans(pool, pair)]


def _beginnings(pool: ConnectionPool[Connection]) -> Iterator[Attack]:
    with pool.connection() as connection:
        row = connection.execute("select coalesce(current_setting('app.current_tenant', true), '')").fetchone()
    begins = row is not None and row[0] != ""
    yield _attack("begin with a context", begins, "a context" if begins else "none")


def _borrowings(pool: ConnectionPool[Connection], pair: _Pair) -> Iterator[Attack]:
    before: dict[str, Callable[[Connection, UUID], None]] = {
        "borrow after a commit": _commit,
        "borrow after an error": _raise,
        "borrow after a failed statement": _fail,
        "borrow after a timeout": _time_out,
        "borrow after a pipeline": _pipeline,
        "borrow after a failed pipeline": _failed_pipeline,
        "borrow after a transaction left open": _leave_open,
        "borrow after a savepoint": _savepoint,
        "borrow after a setting of the session": _set_for_session,
    }
    for name, leave in before.items():
        with suppress(psycopg.Error, _GivenUpError, TenantContextError), pool.connection() as connection:
            leave(connection, pair.other)
        beyond = name == "borrow after a setting of the session"
        foreign = 0
        told = []
        if not beyond:
            with pool.connection() as connection:
                count = len(_seen(connection))
            foreign += count
            told.append(f"{count} rows without context")
        try:
            with pool.connection() as connection, tenant_context(connection, pair.own) as entered:
                seen = _seen(entered)
        except TenantContextError:
            told.append("refused")
        else:
            foreign += sum(each != pair.own for each in seen)
            told.append(f"{len(seen)} rows with context")
            if not beyond and pair.own not in seen:
                yield Attack("read own rows", SESSIONS, "own rows unseen", 1, f"{name}: {len(seen)} rows")
        yield _attack(name, foreign > 0, ", ".join(told), max(foreign, 1))
        if beyond:
            with suppress(psycopg.Error), pool.connection() as connection:
                connection.execute("select set_config('app.current_tenant', '', false)")


def _kept_plans(pool: ConnectionPool[Connection], pair: _Pair) -> Iterator[Attack]:
    """Prepare for one tenant, run for the other: by SQL, and by the driver's own prepared statements."""
    try:
        with pool.connection() as connection:
            foreign = _read_by_kept_plans(connection, pair)
    except TenantContextError:
        # A role that row security does not restrict: nobody enters, so nothing is known of plans. Other rules name it.
        yield Attack("read by a kept plan", SESSIONS, "unproven", 1, "the tenant context is refused")
        return
    yield _attack("read by a kept plan", foreign > 0, f"{foreign} rows of another", max(foreign, 1))


def _read_by_kept_plans(connection: Connection, pair: _Pair) -> int:
    """Return how many rows of the other tenant, or of any without a context, the kept plans show."""
    foreign = 0
    with tenant_context(connection, pair.other) as entered:
        entered.execute(_GENERIC)
        entered.execute(_KEPT)
        entered.execute("execute proof_kept_plan")
        entered.execute("select tenant_id from saas.tenants", prepare=True)
    with tenant_context(connection, pair.own) as entered:
        entered.execute(_GENERIC)
        foreign += sum(row[0] != pair.own for row in entered.execute("execute proof_kept_plan"))
        rows = entered.execute("select tenant_id from saas.tenants", prepare=True).fetchall()
        foreign += sum(row[0] != pair.own for row in rows)
    with connection.transaction():
        foreign += len(connection.execute("execute proof_kept_plan").fetchall())
        connection.execute("deallocate proof_kept_plan")
    return int(foreign)


def _attack(name: str, succeeded: bool, outcome: str, rows: int = 1) -> Attack:
    return Attack(name, SESSIONS, "succeeded" if succeeded else "repelled", rows if succeeded else 0, outcome)


def _seen(connection: Connection) -> list[UUID]:
    return [row[0] for row in connection.execute("select tenant_id from saas.tenants")]


def _commit(connection: Connection, tenant: UUID) -> None:
    with tenant_context(connection, tenant) as entered:
        _seen(entered)


def _raise(connection: Connection, tenant: UUID) -> None:
    with tenant_context(connection, tenant) as entered:
        _seen(entered)
        raise _GivenUpError


def _fail(connection: Connection, tenant: UUID) -> None:
    with tenant_context(connection, tenant) as entered:
        entered.execute("select 1 / 0")


def _time_out(connection: Connection, tenant: UUID) -> None:
    with tenant_context(connection, tenant) as entered:
        entered.execute("set local statement_timeout = '5ms'")
        entered.execute("select pg_sleep(5)")


def _pipeline(connection: Connection, tenant: UUID) -> None:
    with connection.pipeline(), connection.transaction():
        connection.execute("select set_config('app.current_tenant', %s, true)", (str(tenant),))
        connection.execute("select tenant_id from saas.tenants")


def _failed_pipeline(connection: Connection, tenant: UUID) -> None:
    with connection.pipeline() as pipeline:
        # Suppressed, and the pipeline made whole, within it: on its way out it would log the error.
        with suppress(psycopg.Error), connection.transaction():
            connection.execute("select set_config('app.current_tenant', %s, true)", (str(tenant),))
            connection.execute("select 1 / 0")
            connection.execute("select tenant_id from saas.tenants")
        with suppress(psycopg.Error):
            pipeline.sync()


def _leave_open(connection: Connection, tenant: UUID) -> None:
    connection.execute("select set_config('app.current_tenant', %s, true)", (str(tenant),))
    # The pool rolls back what its borrower raises out of.
    raise _GivenUpError


def _savepoint(connection: Connection, tenant: UUID) -> None:
    with connection.transaction(), suppress(_GivenUpError), connection.transaction():
        connection.execute("select set_config('app.current_tenant', %s, true)", (str(tenant),))
        raise _GivenUpError


def _set_for_session(connection: Connection, tenant: UUID) -> None:
    connection.execute("select set_config('app.current_tenant', %s, false)", (str(tenant),))
