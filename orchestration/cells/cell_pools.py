"""Pools of connections, one per cell and role: what one cell's outage or crowd uses up is that cell's own.

Roles that do not serve tenants read as ``auditor`` and write as ``loader``; global data are read as ``app`` outside any
tenant's context, which shows rows of global relations and nobody's. Requests of tenants have the pool of
`tenant_pool.py`. A pool opens its connections when they are needed, so a cell that nobody asks for costs nothing.

How long a request waits at most: `PoolLimits.wait` for a place and again for a connection, `PoolLimits.statement` for a
statement, the connect timeout longer where the server hangs. After a failure to connect, the cell's requests fail at
once for a second: fifty threads that each wait for a dead cell would be missing for the others.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

import psycopg
from psycopg import IsolationLevel

from orchestration.cells import endpoints
from orchestration.cells.regions import Cell
from orchestration.cells.routing import CellUnavailableError, RoutedConnection, RoutedPool
from orchestration.cells.tenant_context import TenantContextError
from orchestration.cells.tenant_pool import WAIT_SECONDS, NoConnectionError, TenantConnection, TenantLike, TenantPool
from orchestration.cells.tenant_resolution import RequestTenant, TenantResolver
from orchestration.cells.usage_meter import UsageMeter
from orchestration.settings import Settings

# app: global data; auditor: reads of persons; loader: writes.
ReadingRole = Literal["app", "auditor"]
PooledRole = Literal[ReadingRole, "loader"]

# For which a cell that could not be connected to is not tried again.
OUTAGE_SECONDS = 1.0


# For which an answer to a tenant's statement is waited for: its plan allows a minute at most, then the server hangs.
TENANT_PATIENCE_SECONDS = 90.0


class CellBusyError(RuntimeError):
    """Every connection of this process to the cell is in use; other cells are not concerned."""

    status: ClassVar[int] = 503


class WrongCellError(RuntimeError):
    """The server at a cell's address is another cell's."""


@dataclass(frozen=True)
class PoolLimits:
    """What one process may use of one cell.

    Attributes:
        size: most connections of a role; as many again for tenants.
        wait: seconds for which a place and a connection are waited for, each.
        statement: seconds after which the server ends a statement; of a tenant, its plan says.
    """

    size: int = 8
    wait: float = WAIT_SECONDS
    statement: float = 30.0


class _Outage:
    """That a cell could not be connected to, and until when that is taken for granted."""

    def __init__(self) -> None:
        self._until = 0.0
        self._reason = ""

    def require_none(self) -> None:
        if self._until > time.monotonic():
            raise CellUnavailableError(self._reason)

    def note(self, error: CellUnavailableError) -> None:
        self._reason = str(error)
        self._until = time.monotonic() + OUTAGE_SECONDS


class _Pool:
    """Connections of one role; who waits for a place is told from who waits for a server."""

    def __init__(self, cell: Cell, role: PooledRole, settings: Settings, limits: PoolLimits, outage: _Outage) -> None:
        self._cell = cell
        self._role = role
        self._limits = limits
        self._outage = outage
        self._places = threading.BoundedSemaphore(limits.size)
        self._pool = RoutedPool(
            cell,
            role,
            size=limits.size,
            wait=limits.wait,
            statement=limits.statement,
            read_only=role != "loader",
            configure=self._configure,
            application_name=f"capstone {role}",
            settings=settings,
        )

    def _configure(self, connection: RoutedConnection) -> None:
        if self._role == "app":
            return  # may not read which cell this is; see CellPools
        row = connection.execute("select c.cell from platform.cell as c").fetchone()
        connection.commit()
        if row is None or row[0] != self._cell:
            there = "no cell" if row is None else f"cell {row[0]!r}"
            raise WrongCellError(f"the database there is that of {there}")

    @contextmanager
    def borrowed(self) -> Iterator[RoutedConnection]:
        self._outage.require_none()
        if not self._places.acquire(timeout=self._limits.wait):
            raise CellBusyError(
                f"all {self._limits.size} connections to cell {self._cell!r} as {self._role} were in use for "
                f"{self._limits.wait:g} s: try again, or give the pool more"
            )
        try:
            try:
                connection = self._pool.take()
            except CellUnavailableError as error:
                self._outage.note(error)
                raise
            try:
                yield connection
            finally:
                self._pool.give_back(connection)
        finally:
            self._places.release()

    def discard_broken(self) -> None:
        self._pool.discard_broken()

    def close(self) -> None:
        self._pool.close()


class CellPools:
    """All pools of one process; for threads.

    Args:
        settings: which platform.
        limits: of each pool.
        metered: whether tenants' requests are counted as their use of the service.
    """

    def __init__(self, settings: Settings, limits: PoolLimits, *, metered: bool = True) -> None:
        self._settings = settings
        self._limits = limits
        self._metered = metered
        self._lock = threading.Lock()
        self._pools: dict[tuple[Cell, PooledRole], _Pool] = {}
        self._tenants: dict[Cell, TenantPool] = {}
        self._resolvers: dict[Cell, TenantResolver] = {}
        self._outages: dict[Cell, _Outage] = {}
        self._verified: set[Cell] = set()

    def close(self) -> None:
        """Close every connection and write what was metered."""
        with self._lock:
            pools: list[_Pool | TenantPool | TenantResolver] = [
                *self._pools.values(),
                *self._tenants.values(),
                *self._resolvers.values(),
            ]
            self._pools, self._tenants, self._resolvers = {}, {}, {}
        for pool in pools:
            pool.close()

    def _outage(self, cell: Cell) -> _Outage:
        with self._lock:
            return self._outages.setdefault(cell, _Outage())

    def _of(self, cell: Cell, role: PooledRole) -> _Pool:
        pool = self._pools.get((cell, role))
        if pool is not None:
            return pool
        outage = self._outage(cell)
        with self._lock:
            pool = self._pools.get((cell, role))
            if pool is None:
                pool = self._pools[cell, role] = _Pool(cell, role, self._settings, self._limits, outage)
        return pool

    def _verify(self, cell: Cell) -> None:
        """Make sure once that the server at the cell's address is that cell's: an auditor's connection looks."""
        if cell not in self._verified:
            with self._of(cell, "auditor").borrowed():
                self._verified.add(cell)

    @contextmanager
    def reading(self, cell: Cell, role: ReadingRole) -> Iterator[RoutedConnection]:
        """Run the block in one read-only transaction, which begins with its first statement and ends with the block.

        Raises:
            CellUnavailableError: no connection could be opened in time.
            CellBusyError: all are in use.
            psycopg.Error: of the server.
        """
        if cell not in self._verified:
            self._verify(cell)
        with self._of(cell, role).borrowed() as connection:
            try:
                yield connection
                connection.commit()
            except BaseException:
                with suppress(psycopg.Error):
                    connection.rollback()
                raise

    @contextmanager
    def looking(self, cell: Cell) -> Iterator[RoutedConnection]:
        """Lend a connection of role auditor whose statements are transactions of their own; raises as `reading`.

        For what one statement answers: a third of the round trips.
        """
        with self._of(cell, "auditor").borrowed() as connection:
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False

    @contextmanager
    def writing(self, cell: Cell, *, serializable: bool = False) -> Iterator[RoutedConnection]:
        """Run the block in one transaction of role loader, which only the block's end commits; raises as `reading`."""
        self._verify(cell)
        with self._of(cell, "loader").borrowed() as connection:
            if serializable:
                connection.isolation_level = IsolationLevel.SERIALIZABLE
            try:
                with connection.transaction():
                    yield connection
            finally:
                if serializable and not connection.closed:
                    connection.isolation_level = None

    @contextmanager
    def tenant(self, cell: Cell, tenant: TenantLike, *, read_only: bool) -> Iterator[TenantConnection]:
        """Run the block in one transaction in the tenant's name; see :meth:`TenantPool.tenant`.

        Raises:
            CellUnavailableError, CellBusyError: in place of the tenants' pool's error, which does not know its cell.
        """
        self._verify(cell)
        outage = self._outage(cell)
        outage.require_none()
        try:
            with self.tenant_pool(cell).tenant(tenant, read_only=read_only) as connection:
                yield connection
        except NoConnectionError as error:
            raise self._no_connection(cell, outage, error) from None

    def _no_connection(self, cell: Cell, outage: _Outage, error: NoConnectionError) -> Exception:
        """Return why the tenants' pool gave no connection: whether the cell can be connected to at all decides."""
        try:
            with self.reading(cell, "auditor") as connection:
                connection.execute("select")
        except CellUnavailableError as unavailable:
            return unavailable
        except psycopg.OperationalError as lost:
            gone = CellUnavailableError(f"cell {cell!r} was lost: {type(lost).__name__}")
            outage.note(gone)
            return gone
        except CellBusyError:
            pass
        return CellBusyError(f"all connections to cell {cell!r} for tenants are in use: {error}")

    def tenant_pool(self, cell: Cell) -> TenantPool:
        """Return the pool for requests of the tenants of a cell."""
        with self._lock:
            pool = self._tenants.get(cell)
            if pool is None:
                pool = self._tenants[cell] = TenantPool(
                    endpoints.dsn(cell, "app", settings=self._settings),
                    min_size=0,
                    max_size=self._limits.size,
                    wait=self._limits.wait,
                    patience=TENANT_PATIENCE_SECONDS,
                    meter=UsageMeter.of_cell(cell, self._settings) if self._metered else None,
                )
            return pool

    def resolve(self, cell: Cell, named: UUID | str) -> RequestTenant:
        """Ask one cell for the tenant of this id or subdomain; see :meth:`TenantResolver.resolve`.

        Raises:
            CellUnavailableError: in place of the resolver's error, which does not know its cell.
        """
        outage = self._outage(cell)
        outage.require_none()
        with self._lock:
            resolver = self._resolvers.get(cell)
            if resolver is None:
                # What is kept, is kept by who asks all cells.
                resolver = self._resolvers[cell] = TenantResolver.of_cell(
                    cell, self._settings, wait=self._limits.wait, keep=0.0
                )
        try:
            return resolver.resolve(named)
        except TenantContextError as error:
            if type(error) is not TenantContextError:
                raise
            unavailable = CellUnavailableError(f"tenants of cell {cell!r} cannot be looked up: {error}")
            outage.note(unavailable)
            raise unavailable from None

    def discard_broken(self, cell: Cell) -> None:
        """Throw away the idle connections of a cell whose server is gone, so that the next attempt opens one."""
        for (where, _), pool in list(self._pools.items()):
            if where == cell:
                pool.discard_broken()
        tenants = self._tenants.get(cell)
        if tenants is not None:
            tenants.discard_broken()
