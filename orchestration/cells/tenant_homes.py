"""Which cell a tenant lives in: asked in the cells as role ``gateway``, and kept for some seconds.

A tenant lives in one cell. What is kept only chooses where to ask: a tenant that has moved meanwhile is unknown or
closed there, which its transaction says on entering, before anything of the caller's is sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from orchestration.cells.kept_answers import KeptAnswers
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.routing import CellUnavailableError
from orchestration.cells.tenant_context import MalformedTenantError, SuspendedTenantError, UnknownTenantError
from orchestration.cells.tenant_resolution import RequestTenant, named_tenant

KEEP_SECONDS = 10.0
KEEP_MOST = 20_000

# Asks one cell; raises UnknownTenantError, SuspendedTenantError, or CellUnavailableError when it does not answer.
ResolveIn = Callable[[Cell, UUID | str], RequestTenant]


@dataclass(frozen=True)
class TenantHome:
    """Where a tenant lives.

    Attributes:
        tenant: the tenant, and what its plan allows.
        cell: its cell.
        kept: whether this is what was known already, so that it may have moved.
    """

    tenant: RequestTenant
    cell: Cell
    kept: bool = False


class TenantHomes:
    """Finds the cells of tenants and keeps them for some seconds; for threads."""

    def __init__(self, resolve_in: ResolveIn, *, keep: float = KEEP_SECONDS, most: int = KEEP_MOST) -> None:
        self._resolve_in = resolve_in
        self._kept: KeptAnswers[UUID | str, TenantHome] = KeptAnswers(keep, most)

    def find(self, which: UUID | str) -> TenantHome:
        """Return where a tenant lives, given its id or its subdomain.

        Raises:
            MalformedTenantError: ``which`` is neither.
            UnknownTenantError: no cell has it.
            SuspendedTenantError: it is closed where it lives.
            CellUnavailableError: none of the cells that answer has it, and one does not answer.
        """
        named = self._parsed(which)
        kept = self._kept.get(named)
        if kept is not None:
            return TenantHome(kept.tenant, kept.cell, kept=True)
        silent: list[Cell] = []
        closed: SuspendedTenantError | None = None
        for cell in CELLS:
            try:
                home = TenantHome(self._resolve_in(cell, named), cell)
            except UnknownTenantError:
                continue
            except SuspendedTenantError as error:
                # While it moves, its new cell has it too, or its old one still: one that is open goes before.
                closed = error
                continue
            except CellUnavailableError:
                silent.append(cell)
                continue
            self._kept.keep(named, home)
            return home
        if closed is not None:
            raise closed
        if silent:
            raise CellUnavailableError(
                f"where tenant {str(which)!r} lives cannot be said while {', '.join(silent)} does not answer: "
                "start it with `capstone up` and ask again"
            )
        raise UnknownTenantError(f"no cell has tenant {str(which)!r}: `capstone tenant list` names those there are")

    def forget(self, which: UUID | str) -> None:
        """Drop what is kept of a tenant: it was not there, or not open."""
        self._kept.forget(self._parsed(which))

    @staticmethod
    def _parsed(which: UUID | str) -> UUID | str:
        if isinstance(which, UUID):
            return which
        try:
            return named_tenant(None, {"x-tenant": which}, None)
        except MalformedTenantError:
            raise MalformedTenantError(f"{which!r} is neither a tenant's id (a UUID) nor a subdomain") from None
