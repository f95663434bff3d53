"""A pool of connections for requests of tenants: each borrower has one tenant, its plan's limits, and a clean session.

    pool = TenantPool.of_cell("na")

    with pool.tenant(tenant_id) as connection:      # one transaction in the tenant's name
        connection.execute("select … from ecommerce.orders")

    @pool.in_tenant                                 # the same as a decorator
    def orders(connection, since): ...
    orders(tenant_id, since)

A borrower gets, in one transaction: the tenant's context, its plan's longest statement, and one of its plan's places.
All three end with the transaction. Before it commits, whatever else the session holds (settings, held cursors,
notifications) is given up, in the same transaction, so that it also reaches the right server behind pgbouncer in
transaction mode. A borrower that was cancelled or interrupted leaves a connection in an unknown state: it is closed.

One tenant never gets more than its share of the pool: who is over it waits outside and holds no connection.
"""

import asyncio
import functools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from uuid import UUID

import psycopg
from psycopg.abc import Params
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.rows import TupleRow, tuple_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.cells.routing import RoutedConnection
from orchestration.cells.tenant_context import (
    SuspendedTenantError,
    TenantBusyError,
    TenantContextError,
    UnknownTenantError,
    parse_tenant_id,
    require_restricted,
)
from orchestration.cells.usage_meter import UsageMeter
from orchestration.settings import Settings, get_settings

P = ParamSpec("P")
R = TypeVar("R")

# psycopg's own default: a statement that was executed five times is prepared.
PREPARE_THRESHOLD = 5

# Seconds that a request waits for its tenant's share and for a connection, each.
WAIT_SECONDS = 5.0

_ENTER = "select e.carried, e.bypasses, e.state, e.reason from platform.enter_tenant(%s) as e"
# The place that a plan has for this transaction is taken before it may write no more; one round trip as well.
_ENTER_READING = (
    "select e.carried, e.bypasses, e.state, e.reason, set_config('transaction_read_only', 'on', true) "
    "from platform.enter_tenant(%s) as e"
)
_LEAVE = (Path(__file__).parent / "sql" / "leave_session.sql").read_bytes()


class NoConnectionError(TenantContextError):
    """No connection was free, or none could be opened, in time."""


class _HasId(Protocol):
    @property
    def id(self) -> UUID: ...


# A tenant's id, as a UUID or its text, or anything that has one as ``id``, such as what a request was resolved to.
TenantLike = UUID | str | _HasId


def _tenant_id(tenant: TenantLike) -> UUID:
    return parse_tenant_id(tenant) if isinstance(tenant, UUID | str) else parse_tenant_id(getattr(tenant, "id", ""))


class TenantConnection(RoutedConnection):
    """A pooled connection that counts its statements."""

    statements = 0


class AsyncTenantConnection(psycopg.AsyncConnection[TupleRow]):
    """An asynchronous pooled connection that counts its statements."""

    statements = 0


class _CountingCursor(psycopg.Cursor[TupleRow]):
    def execute(self, query: Any, params: Params | None = None, **options: Any) -> "_CountingCursor":
        if isinstance(self.connection, TenantConnection):
            self.connection.statements += 1
        return super().execute(query, params, **options)


class _AsyncCountingCursor(psycopg.AsyncCursor[TupleRow]):
    async def execute(self, query: Any, params: Params | None = None, **options: Any) -> "_AsyncCountingCursor":
        if isinstance(self.connection, AsyncTenantConnection):
            self.connection.statements += 1
        return await super().execute(query, params, **options)


def _require_entered(tenant: UUID, row: TupleRow | None) -> None:
    carried, bypasses, state, reason = row[:4] if row is not None else (False, True, None, None)
    require_restricted(carries=bool(carried), bypasses=bool(bypasses))
    if state == "closed":
        raise SuspendedTenantError(f"tenant {tenant} is closed: {reason}")
    if state == "unknown":
        raise UnknownTenantError(f"there is no tenant {tenant} in this cell")
    if state == "busy":
        raise TenantBusyError(f"tenant {tenant} has all transactions open that its plan allows at once: try again")


def _no_connection(error: psycopg.OperationalError) -> NoConnectionError:
    return NoConnectionError(
        f"no connection was free in time: give the pool more, or look for one not returned ({error})"
    )


class _Shares:
    """How many borrowers each tenant has in this process; a count is there as long as somebody has or waits for one."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._changed = threading.Condition()
        self._taken: dict[UUID, int] = {}

    def take(self, tenant: UUID, seconds: float) -> bool:
        """Take one, waiting for it at most ``seconds``."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._taken.get(tenant, 0) < self.most, seconds):
                return False
            self._taken[tenant] = self._taken.get(tenant, 0) + 1
            return True

    def give_back(self, tenant: UUID) -> None:
        """Give one back."""
        with self._changed:
            left = self._taken[tenant] - 1
            if left:
                self._taken[tenant] = left
            else:
                del self._taken[tenant]
            self._changed.notify_all()


def _over_share(tenant: UUID, most: int) -> TenantBusyError:
    return TenantBusyError(f"tenant {tenant} has its share of this pool in use ({most} connections): try again")


def _arguments(prepared: bool, application_name: str) -> dict[str, Any]:
    return {
        # Set here and not by a callback, so that pgbouncer's server connections have no part in it.
        "prepare_threshold": PREPARE_THRESHOLD if prepared else None,
        "application_name": application_name,
    }


def _share(max_size: int, max_per_tenant: int | None) -> int:
    return max_per_tenant if max_per_tenant is not None else max(1, max_size // 2)


class TenantPool:
    """Synchronous pool; for threads.

    Args:
        conninfo: DSN of role ``app``, or of a tenant's own login in its own database; of the server or of pgbouncer.
        min_size: connections that are kept open.
        max_size: most connections.
        max_per_tenant: most of them for one tenant at once; half of them, unless given.
        prepared: whether statements are prepared on the server; False behind a pgbouncer older than 1.21 in
            transaction mode, which knows none.
        wait: seconds to wait for the tenant's share, and for a connection; also how long an attempt to connect is
            repeated before the next request begins another.
        meter: counts requests, if given; the pool closes it.
        patience: seconds for which one answer of the server is waited for, None for ever.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        max_per_tenant: int | None = None,
        prepared: bool = True,
        wait: float = WAIT_SECONDS,
        meter: UsageMeter | None = None,
        patience: float | None = None,
        application_name: str = "capstone tenants",
    ) -> None:
        def configure(connection: TenantConnection) -> None:
            connection.patience = patience

        self._wait = wait
        self._meter = meter
        self._shares = _Shares(_share(max_size, max_per_tenant))
        self._pool = ConnectionPool(
            conninfo,
            connection_class=TenantConnection,
            kwargs={**_arguments(prepared, application_name), "cursor_factory": _CountingCursor},
            configure=configure,
            min_size=min_size,
            max_size=max_size,
            timeout=wait,
            reconnect_timeout=wait,
            open=True,
        )

    @classmethod
    def of_cell(cls, cell: Cell, settings: Settings | None = None, **options: Any) -> "TenantPool":
        """Return a pool of ``cell`` that meters what its tenants use; ``options`` are the constructor's."""
        settings = settings or get_settings()
        options.setdefault("meter", UsageMeter.of_cell(cell, settings))
        return cls(endpoints.dsn(cell, "app", settings=settings), **options)

    def __enter__(self) -> "TenantPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and write what was metered."""
        self._pool.close()
        if self._meter is not None:
            self._meter.close()

    def discard_broken(self) -> None:
        """Look at every idle connection and throw away those whose server is gone."""
        self._pool.check()

    @contextmanager
    def tenant(self, tenant: TenantLike, *, read_only: bool = False) -> Iterator[TenantConnection]:
        """Run the block in one transaction in the tenant's name; commits at its end, rolls back on an exception.

        Args:
            tenant: whose.
            read_only: the transaction may not write.

        Raises:
            MalformedTenantError (400), SuspendedTenantError (403), UnknownTenantError (404), TenantBusyError (429).
            TenantContextError (500): no connection was free (NoConnectionError), or this login is not one for tenants'
                requests.
        """
        tenant_id = _tenant_id(tenant)
        if not self._shares.take(tenant_id, self._wait):
            self._refused(tenant_id)
            raise _over_share(tenant_id, self._shares.most)
        try:
            try:
                connection = self._pool.getconn()
            except psycopg.OperationalError as error:
                raise _no_connection(error) from None
            try:
                with self._entered(connection, tenant_id, _ENTER_READING if read_only else _ENTER):
                    yield connection
            finally:
                self._pool.putconn(connection)
        finally:
            self._shares.give_back(tenant_id)

    def _refused(self, tenant: UUID) -> None:
        if self._meter is not None:
            self._meter.refusal(tenant)

    @contextmanager
    def _entered(self, connection: TenantConnection, tenant: UUID, enter: str) -> Iterator[None]:
        started = time.perf_counter_ns()
        entered, failed, clean = False, True, None
        try:
            with connection.transaction():
                with connection.cursor(row_factory=tuple_row) as cursor:
                    row = cursor.execute(enter, [tenant]).fetchone()
                _require_entered(tenant, row)
                entered, connection.statements = True, 0
                yield
                clean = _leave(connection)
            failed = False
            if clean is None:
                # The block ended with psycopg.Rollback, which the transaction has swallowed.
                _clean_or_close(connection)
            elif not clean:
                connection.close()
        except TenantContextError as error:
            if entered:
                _clean_or_close(connection)
            elif isinstance(error, TenantBusyError):
                self._refused(tenant)
            raise
        except Exception:
            _clean_or_close(connection)
            raise
        except BaseException:
            connection.close()
            raise
        finally:
            if entered and self._meter is not None:
                self._meter.request(
                    tenant,
                    microseconds=(time.perf_counter_ns() - started) // 1000,
                    queries=connection.statements,
                    failed=failed,
                )

    def in_tenant(
        self, function: Callable[Concatenate[TenantConnection, P], R]
    ) -> Callable[Concatenate[TenantLike, P], R]:
        """Decorate a function of a connection: it is called with a tenant instead, and runs in its transaction."""

        @functools.wraps(function)
        def called(tenant: TenantLike, /, *args: P.args, **kwargs: P.kwargs) -> R:
            with self.tenant(tenant) as connection:
                return function(connection, *args, **kwargs)

        return called


def _leave(connection: TenantConnection) -> bool:
    """Give up what the session holds; False when something is left, a statement that somebody prepared by name."""
    with psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        cursor.execute(_LEAVE)
        while cursor.nextset():
            pass
        row = cursor.fetchone()
    return row is not None and not row[0]


def _clean_or_close(connection: TenantConnection) -> None:
    """After a roll-back: what the block had committed behind the back of the transaction is given up too."""
    if connection.closed:
        return
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        # Left in the middle of a pipeline; its results are nobody's.
        connection.close()
        return
    try:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            connection.rollback()
        clean = _leave(connection)
        connection.commit()
        if not clean:
            connection.close()
    except psycopg.Error:
        connection.close()


class AsyncTenantPool:
    """The same for tasks of one event loop; see :class:`TenantPool`. Open it with ``async with``."""

    def __init__(
        self,
        conninfo: str,
        *,
        min_size: int = 1,
        max_size: int = 8,
        max_per_tenant: int | None = None,
        prepared: bool = True,
        wait: float = WAIT_SECONDS,
        meter: UsageMeter | None = None,
        application_name: str = "capstone tenants",
    ) -> None:
        self._wait = wait
        self._meter = meter
        self._most = _share(max_size, max_per_tenant)
        self._shares: dict[UUID, tuple[asyncio.Semaphore, int]] = {}
        self._pool = AsyncConnectionPool(
            conninfo,
            connection_class=AsyncTenantConnection,
            kwargs={**_arguments(prepared, application_name), "cursor_factory": _AsyncCountingCursor},
            min_size=min_size,
            max_size=max_size,
            timeout=wait,
            reconnect_timeout=wait,
            open=False,
        )

    @classmethod
    def of_cell(cls, cell: Cell, settings: Settings | None = None, **options: Any) -> "AsyncTenantPool":
        """Return a pool of ``cell`` that meters what its tenants use; ``options`` are the constructor's."""
        settings = settings or get_settings()
        options.setdefault("meter", UsageMeter.of_cell(cell, settings))
        return cls(endpoints.dsn(cell, "app", settings=settings), **options)

    async def __aenter__(self) -> "AsyncTenantPool":
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection and write what was metered."""
        await self._pool.close()
        if self._meter is not None:
            await asyncio.to_thread(self._meter.close)

    @asynccontextmanager
    async def _share_of(self, tenant: UUID) -> AsyncIterator[None]:
        semaphore, users = self._shares.get(tenant, (asyncio.Semaphore(self._most), 0))
        self._shares[tenant] = (semaphore, users + 1)
        try:
            try:
                await asyncio.wait_for(semaphore.acquire(), self._wait)
            except TimeoutError:
                self._refused(tenant)
                raise _over_share(tenant, self._most) from None
            try:
                yield
            finally:
                semaphore.release()
        finally:
            _, users = self._shares[tenant]
            if users == 1:
                del self._shares[tenant]
            else:
                self._shares[tenant] = (semaphore, users - 1)

    def _refused(self, tenant: UUID) -> None:
        if self._meter is not None:
            self._meter.refusal(tenant)

    @asynccontextmanager
    async def tenant(self, tenant: TenantLike) -> AsyncIterator[AsyncTenantConnection]:
        """Run the block in one transaction in the tenant's name; see :meth:`TenantPool.tenant`."""
        tenant_id = _tenant_id(tenant)
        async with self._share_of(tenant_id):
            try:
                connection = await self._pool.getconn()
            except psycopg.OperationalError as error:
                raise _no_connection(error) from None
            try:
                async with self._entered(connection, tenant_id):
                    yield connection
            finally:
                # A task that is cancelled again meanwhile must not keep the connection.
                await asyncio.shield(self._pool.putconn(connection))

    @asynccontextmanager
    async def _entered(self, connection: AsyncTenantConnection, tenant: UUID) -> AsyncIterator[None]:
        started = time.perf_counter_ns()
        entered, failed, clean = False, True, None
        try:
            async with connection.transaction():
                async with connection.cursor(row_factory=tuple_row) as cursor:
                    await cursor.execute(_ENTER, [tenant])
                    row = await cursor.fetchone()
                _require_entered(tenant, row)
                entered, connection.statements = True, 0
                yield
                clean = await _async_leave(connection)
            failed = False
            if clean is None:
                await _async_clean_or_close(connection)
            elif not clean:
                await connection.close()
        except TenantContextError as error:
            if entered:
                await _async_clean_or_close(connection)
            elif isinstance(error, TenantBusyError):
                self._refused(tenant)
            raise
        except Exception:
            await _async_clean_or_close(connection)
            raise
        except BaseException:
            # Cancelled: whatever was on its way is not waited for.
            with suppress(psycopg.Error):
                await connection.close()
            raise
        finally:
            if entered and self._meter is not None:
                self._meter.request(
                    tenant,
                    microseconds=(time.perf_counter_ns() - started) // 1000,
                    queries=connection.statements,
                    failed=failed,
                )

    def in_tenant(
        self, function: Callable[Concatenate[AsyncTenantConnection, P], Awaitable[R]]
    ) -> Callable[Concatenate[TenantLike, P], Awaitable[R]]:
        """Decorate a coroutine function of a connection: it is called with a tenant instead."""

        @functools.wraps(function)
        async def called(tenant: TenantLike, /, *args: P.args, **kwargs: P.kwargs) -> R:
            async with self.tenant(tenant) as connection:
                return await function(connection, *args, **kwargs)

        return called


async def _async_leave(connection: AsyncTenantConnection) -> bool:
    async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
        await cursor.execute(_LEAVE)
        while cursor.nextset():
            pass
        row = await cursor.fetchone()
    return row is not None and not row[0]


async def _async_clean_or_close(connection: AsyncTenantConnection) -> None:
    if connection.closed:
        return
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        # Left in the middle of a pipeline; its results are nobody's.
        await connection.close()
        return
    try:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            await connection.rollback()
        clean = await _async_leave(connection)
        await connection.commit()
        if not clean:
            await connection.close()
    except psycopg.Error:
        await connection.close()
