"""Requests on one PostgreSQL cluster per cell: finds the cell, begins the transaction, repeats what is safe.

    with PostgresCells(here="eu") as cells:
        cells.read(Subject(tenant="acme"), orders)               # in the tenant's name, as role app
        cells.write(Subject(person=person), change_profile)      # at the person's home, held there until the commit
        cells.read_global(["saas.plans"], plans, consistency=Eventual(timedelta(minutes=5)))

A work is a function of a connection that is inside a transaction. It leaves COMMIT to this file, and changes settings
of the session only for the transaction (`set local`). One that only reads may be called several times; one that
writes is called again only if it was declared repeatable, or if nothing of it had been sent.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, TypeVar
from uuid import UUID

import psycopg

from orchestration.cells.cell_pools import CellPools, PoolLimits
from orchestration.cells.outcome import (
    Connection,
    ConnectionLostError,
    ContentionError,
    NotSentError,
    Outcome,
    UnknownOutcomeError,
    Work,
    outcome_of,
    read_in,
    write_in,
)
from orchestration.cells.person_homes import PersonHomes, PersonMovedError, assert_home
from orchestration.cells.reads import (
    STRONG,
    Consistency,
    Eventual,
    Reading,
    StaleReadError,
    require_fresh,
    require_global,
)
from orchestration.cells.region_choice import Choice, PersonHome, Subject, choose, nearest
from orchestration.cells.regions import GLOBAL_HOME, Cell
from orchestration.cells.retries import Retries
from orchestration.cells.routing import CellUnavailableError, RoutedConnection
from orchestration.cells.tenant_context import SuspendedTenantError, UnknownTenantError
from orchestration.cells.tenant_homes import TenantHome, TenantHomes
from orchestration.cells.tenant_pool import TenantPool
from orchestration.cells.tenant_resolution import RequestTenant
from orchestration.settings import Settings, get_settings

R = TypeVar("R")

_NONE_WAS_SENT = (NotSentError, PersonMovedError)


class _StaleHomeError(RuntimeError):
    """A tenant was not, or not open, where it was known to be: it is looked for again."""


class _Place:
    """A cell, and what of the request is at home there."""

    def __init__(self, choice: Choice, person: PersonHome | None, tenant: TenantHome | None) -> None:
        self.choice = choice
        self.person = person
        self.tenant = tenant

    @property
    def cell(self) -> Cell:
        return self.choice.cell

    @property
    def person_here(self) -> PersonHome | None:
        """The person with the record that they have in this cell, which for a tenant's shopper need not be home."""
        return None if self.person is None else PersonHome(self.person.person, self.cell, self.person.region)


class PostgresCells:
    """A :class:`RegionalDatabase` of one PostgreSQL cluster per cell; for threads.

    Args:
        settings: which platform.
        here: the cell beside which this process runs, whose copies of global data are nearest for requests that say
            nothing of where they come from; None where it runs beside none.
        limits: of the pools.
        retries: of what is safe to repeat.
        metered: whether requests of tenants are counted as their use of the service.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        here: Cell | None = None,
        limits: PoolLimits | None = None,
        retries: Retries | None = None,
        metered: bool = True,
    ) -> None:
        self._settings = settings or get_settings()
        self._here: Cell | None = here
        self._retries = retries or Retries()
        self._pools = CellPools(self._settings, limits or PoolLimits(), metered=metered)
        self._persons = PersonHomes(self._region_in)
        self._tenants = TenantHomes(self._pools.resolve)

    def __enter__(self) -> "PostgresCells":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and write what was metered."""
        self._pools.close()

    # Where to.

    def choose(self, subject: Subject) -> Choice:
        """Return the cell that a request goes to; see :func:`region_choice.choose`.

        Raises:
            UnknownPersonError, PersonHomeError: no cell, or more than one, is the person's home.
            UnknownTenantError, SuspendedTenantError, MalformedTenantError: of the tenant.
            CellUnavailableError: the cell that would have to know does not answer.
        """
        return self._place(subject).choice

    def pool_of(self, tenant: UUID | str) -> tuple[RequestTenant, TenantPool]:
        """Return a tenant and the pool of the cell where it lives, for code that has its own transactions."""
        home = self._tenants.find(tenant)
        return home.tenant, self._pools.tenant_pool(home.cell)

    def forget(self, subject: Subject) -> None:
        """Drop what is kept of where a person or a tenant is; whoever moves one says so here to its own process."""
        if subject.person is not None:
            self._persons.forget(subject.person)
        if subject.tenant is not None:
            self._tenants.forget(subject.tenant)

    def _place(self, subject: Subject) -> _Place:
        # Before anybody is asked: a region that is none is an error whoever the request is about.
        person = tenant = None
        if subject.person is None and subject.tenant is None:
            return _Place(choose(subject), None, None)
        nearest(subject, GLOBAL_HOME)
        if subject.person is not None:
            person = self._persons.find(subject.person)
        if subject.tenant is not None:
            tenant = self._tenants.find(subject.tenant)
        return _Place(choose(subject, person=person, tenant=tenant.cell if tenant else None), person, tenant)

    def _region_in(self, cell: Cell, person: UUID) -> str | None:
        def region(connection: Connection) -> str | None:
            row = connection.execute("select u.region from geo.users as u where u.id = %s", [person]).fetchone()
            return None if row is None else str(row[0])

        def once() -> str | None:
            return read_in(cell, self._pools.looking(cell), _nothing, region)

        return self._repeated(once, cell=lambda: cell, repeatable=True)

    # What is done there.

    def read(self, subject: Subject, work: Work[R]) -> R:
        """Read at the home; of a tenant in its name, as role app, of a person or a region as role auditor.

        Raises:
            CellUnavailableError: the cell is down, or was lost each time.
            CellBusyError: all of this process's connections to it are in use.
            ContentionError: it met others each time.
            PersonMovedError: the person moved each time.
            RegionChoiceError and those of `choose`: it cannot be sent anywhere.
        """
        place: _Place | None = None

        def once() -> R:
            nonlocal place
            place = here = self._place(subject)

            def enter(connection: Connection) -> None:
                if here.person is not None and here.tenant is None:
                    assert_home(connection, here.person, "read")

            return self._tenants_checked(
                here, lambda: read_in(here.cell, self._transaction(here, read_only=True), enter, work)
            )

        return self._repeated(once, cell=lambda: place.cell if place else None, subject=subject, repeatable=True)

    def write(self, subject: Subject, work: Work[R], *, repeatable: bool = False, serializable: bool = False) -> R:
        """Write at the home; of a tenant in its name, as role app, of a person or a region as role loader.

        A person's record is locked before the work is called, so nobody moves them until the transaction has ended.
        In a tenant's transaction, whose role may not see persons, another session holds that lock meanwhile.

        Args:
            subject: what is written about.
            work: writes. Called once, unless nothing of it was sent.
            repeatable: it may be called again after the transaction was rolled back: it changes nothing elsewhere.
            serializable: the transaction's isolation; not for tenants.

        Raises:
            UnknownOutcomeError: it may have been committed; see `outcome`.
            ContentionError, ConnectionLostError: it is rolled back, and was not repeatable or has failed each time.
            PersonMovedError: nothing was written, each time.
            CellUnavailableError, CellBusyError and those of `choose`, as for `read`.
        """
        if serializable and subject.tenant is not None:
            raise ValueError("a tenant's transactions are READ COMMITTED: leave serializable out")
        place: _Place | None = None

        def once() -> R:
            nonlocal place
            place = here = self._place(subject)
            if here.tenant is not None:
                return self._tenants_checked(here, lambda: self._write_of_tenant(here, work))

            def enter(connection: Connection) -> None:
                if here.person is not None:
                    assert_home(connection, here.person, "write")

            transaction = self._transaction(here, read_only=False, serializable=serializable)
            return write_in(here.cell, transaction, enter, work)

        return self._repeated(once, cell=lambda: place.cell if place else None, subject=subject, repeatable=repeatable)

    def read_global(
        self,
        relations: Sequence[str],
        work: Work[R],
        *,
        near: Subject | None = None,
        consistency: Consistency = STRONG,
    ) -> Reading[R]:
        """Read global relations, as role app without a tenant: rows of tenants and persons are not to be seen.

        Args:
            relations: all that are read, declared global.
            work: reads.
            near: where the request comes from, by region or header; nothing else of it counts.
            consistency: strong, or eventual with the age that is allowed.

        Raises:
            NotGlobalError: one of ``relations`` is not global.
            StaleReadError: the nearest copy is too old, and home was not to be asked.
            NoRegionError, UnknownCellError: an eventual read that says nothing, or nonsense, of where it comes from.
            CellUnavailableError, CellBusyError, ContentionError: of the cell that is asked.
        """
        named = require_global(relations)
        if isinstance(consistency, Eventual):
            cell = nearest(near or Subject(), self._here).cell
            if cell != GLOBAL_HOME:
                try:
                    return self._read_copy(cell, named, work, consistency)
                except (StaleReadError, CellUnavailableError) as error:
                    if not consistency.or_home:
                        raise error if isinstance(error, StaleReadError) else StaleReadError(str(error)) from error

        def once() -> R:
            return read_in(GLOBAL_HOME, self._pools.reading(GLOBAL_HOME, "app"), _nothing, work)

        return Reading(self._repeated(once, cell=lambda: GLOBAL_HOME, repeatable=True), GLOBAL_HOME, None)

    def write_global(
        self, relations: Sequence[str], work: Work[R], *, repeatable: bool = False, serializable: bool = False
    ) -> R:
        """Write global relations at their home, as role loader; raises as `write`, and NotGlobalError."""
        require_global(relations)

        def once() -> R:
            transaction = self._pools.writing(GLOBAL_HOME, serializable=serializable)
            return write_in(GLOBAL_HOME, transaction, _nothing, work)

        return self._repeated(once, cell=lambda: GLOBAL_HOME, repeatable=repeatable)

    def outcome(self, error: UnknownOutcomeError, *, evidence: Callable[[Connection], bool] | None = None) -> Outcome:
        """Find out what became of a transaction; see :func:`outcome.outcome_of`."""
        return outcome_of(error, self._settings, evidence=evidence)

    def _read_copy(self, cell: Cell, relations: Sequence[str], work: Work[R], wanted: Eventual) -> Reading[R]:
        def once() -> Reading[R]:
            until = None

            def enter(connection: Connection) -> None:
                nonlocal until
                until = require_fresh(connection, cell, relations, wanted.max_staleness)

            value = read_in(cell, self._pools.reading(cell, "app"), enter, work)
            return Reading(value, cell, until)

        return self._repeated(once, cell=lambda: cell, repeatable=True)

    def _transaction(
        self, place: _Place, *, read_only: bool, serializable: bool = False
    ) -> AbstractContextManager[RoutedConnection]:
        if place.tenant is not None:
            return self._pools.tenant(place.cell, place.tenant.tenant, read_only=read_only)
        if read_only:
            return self._pools.reading(place.cell, "auditor")
        return self._pools.writing(place.cell, serializable=serializable)

    def _write_of_tenant(self, place: _Place, work: Work[R]) -> R:
        transaction = self._transaction(place, read_only=False)
        if place.person_here is None:
            return write_in(place.cell, transaction, _nothing, work)
        with self._held(place.person_here) as require_held:
            return write_in(place.cell, transaction, _nothing, work, before_commit=require_held)

    @contextmanager
    def _held(self, home: PersonHome) -> Iterator[Callable[[], None]]:
        """Hold a person where they are by another session; yields what fails when that session was lost."""
        with ExitStack() as stack:
            try:
                holder = stack.enter_context(self._pools.writing(home.cell))
                assert_home(holder, home, "share")
            except psycopg.OperationalError as error:
                raise NotSentError(f"the connection to cell {home.cell!r} was lost ({type(error).__name__})") from error

            def require_held() -> None:
                holder.execute("select")

            yield require_held
            # The tenant's transaction has its own outcome, which that of a session that only held a lock must not hide.
            with suppress(psycopg.OperationalError):
                stack.close()

    def _tenants_checked(self, place: _Place, run: Callable[[], R]) -> R:
        """Run; a tenant that is not where it was known to be is looked for again."""
        try:
            return run()
        except (UnknownTenantError, SuspendedTenantError) as error:
            if place.tenant is not None and place.tenant.kept:
                raise _StaleHomeError(str(error)) from error
            raise

    def _repeated(
        self,
        once: Callable[[], R],
        *,
        cell: Callable[[], Cell | None],
        repeatable: bool,
        subject: Subject | None = None,
    ) -> R:
        """Call ``once`` until it succeeds, fails for good, or has failed as often as it may."""
        for pause in self._retries.pauses():
            try:
                return once()
            except (PersonMovedError, _StaleHomeError):
                if subject is not None:
                    self.forget(subject)
            except (NotSentError, ConnectionLostError) as error:
                if not repeatable and not isinstance(error, _NONE_WAS_SENT):
                    raise
                lost = cell()
                if lost is not None:
                    self._pools.discard_broken(lost)
            except ContentionError:
                if not repeatable:
                    raise
            time.sleep(pause)
        try:
            return once()
        except _StaleHomeError as error:
            raise UnknownTenantError(str(error)) from error


def _nothing(_: psycopg.Connection[Any]) -> None:
    """Nothing has to hold before the work is called."""
