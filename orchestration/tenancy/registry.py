"""Which tenants there are, and how one is found: by its id or by its subdomain."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.settings import Settings, get_settings

Model = Literal["shared", "schema", "database"]
MODELS: tuple[Model, ...] = get_args(Model)

Status = Literal["provisioning", "active", "suspended", "moving", "erasing"]
STATUSES: tuple[Status, ...] = get_args(Status)

# One label of a host name, as saas.tenants checks it.
SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_TENANTS = (Path(__file__).parent / "sql" / "tenants.sql").read_text()


class TenantError(RuntimeError):
    """Something that was asked of a tenant cannot be done; the message names it and the way out."""


class MalformedTenantError(TenantError, ValueError):
    """What names a tenant is neither a UUID nor a subdomain."""


class UnknownTenantError(TenantError, LookupError):
    """No cell that was asked has this tenant."""


@dataclass(frozen=True)
class Tenant:
    """One tenant, as its cell knows it.

    Attributes:
        id: the tenant.
        cell: the cell that it lives in.
        name: for people.
        subdomain: host name label of its shop; unique over all cells.
        plan: subscription tier.
        status: provisioning, active, suspended, moving or erasing.
        model: where its operational rows live.
    """

    id: UUID
    cell: Cell
    name: str
    subdomain: str
    plan: str
    status: Status
    model: Model

    def __str__(self) -> str:
        return f"{self.subdomain} ({self.id}, cell {self.cell})"


def is_tenant_id(which: str) -> bool:
    """Return whether ``which`` has the form of a tenant's id."""
    return _UUID.fullmatch(which) is not None


def _parse(which: str) -> UUID | str:
    if is_tenant_id(which):
        return UUID(which)
    if SUBDOMAIN.fullmatch(which):
        return which
    raise MalformedTenantError(
        f"{which!r} names no tenant: its id (a UUID) or its subdomain (lower case letters, digits and hyphens, "
        "at most 50) is needed"
    )


def _selected(
    connection: psycopg.Connection[TupleRow],
    cell: Cell,
    given: Mapping[str, object],
    *,
    after: str | None = None,
    most: int | None = None,
) -> Iterator[Tenant]:
    # What is not asked for is no condition, so that an index serves those that are.
    conditions = [
        sql.SQL("t.{} = {}").format(sql.Identifier(column), value)
        for column, value in given.items()
        if value is not None
    ]
    if after is not None:
        conditions.append(sql.SQL("t.subdomain > {}").format(after))
    where = sql.SQL(" where {}").format(sql.SQL(" and ").join(conditions)) if conditions else sql.SQL("")
    query = sql.SQL("{}{} order by t.subdomain limit {}").format(sql.SQL(_TENANTS), where, most)
    for row in connection.execute(query):
        yield Tenant(row[0], cell, *row[1:])


def of_id(connection: psycopg.Connection[TupleRow], cell: Cell, tenant_id: UUID) -> Tenant | None:
    """Return the tenant of this id in the cell that ``connection`` is open to, as a role that bypasses row security."""
    return next(_selected(connection, cell, {"id": tenant_id}), None)


def of_subdomain(connection: psycopg.Connection[TupleRow], cell: Cell, subdomain: str) -> Tenant | None:
    """Return the tenant of this subdomain in the cell that ``connection`` is open to; the role as for `of_id`."""
    return next(_selected(connection, cell, {"subdomain": subdomain}), None)


def find(which: str | UUID, cell: Cell | None = None, settings: Settings | None = None) -> Tenant:
    """Return the tenant with this id or subdomain, in ``cell`` or in whichever cell has it.

    Raises:
        MalformedTenantError: ``which`` is neither an id nor a subdomain; no cell was asked.
        UnknownTenantError: no cell that answers has it; names those that did not answer.
        CellUnavailableError: ``cell`` was given and does not answer.
    """
    settings = settings or get_settings()
    parsed = _parse(str(which))
    silent: list[Cell] = []
    for each in [cell] if cell else CELLS:
        try:
            with routing.connect(
                each, "auditor", autocommit=True, application_name="capstone tenant", settings=settings
            ) as connection:
                found = (
                    of_id(connection, each, parsed)
                    if isinstance(parsed, UUID)
                    else of_subdomain(connection, each, parsed)
                )
        except routing.CellUnavailableError:
            if cell:
                raise
            silent.append(each)
            continue
        if found:
            return found
    asked = f"cell {cell!r}" if cell else "any cell" if not silent else "the cells that answer"
    way_out = (
        f"; {', '.join(silent)} did not answer: start with `capstone up` and ask again"
        if silent
        else ": `capstone tenant list` names those there are"
    )
    raise UnknownTenantError(f"no tenant {str(which)!r} in {asked}{way_out}")


def tenants(
    cell: Cell,
    settings: Settings | None = None,
    *,
    status: Status | None = None,
    model: Model | None = None,
    plan: str | None = None,
    after: str | None = None,
    most: int | None = None,
) -> list[Tenant]:
    """Return the tenants of ``cell`` in the order of their subdomains.

    Args:
        cell: the cell.
        settings: which platform.
        status: only those of this status.
        model: only those of this model.
        plan: only those on this plan.
        after: only those whose subdomain follows this one, to go on where a page ended.
        most: at most so many.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    given = {"status": status, "model": model, "plan": plan}
    with routing.connect(
        cell, "auditor", autocommit=True, application_name="capstone tenant", settings=settings or get_settings()
    ) as connection:
        return list(_selected(connection, cell, given, after=after, most=most))


def tenants_by_model(cell: Cell, settings: Settings | None = None) -> dict[Model, int]:
    """Return how many tenants of each model ``cell`` has; models without any are left out.

    Raises:
        CellUnavailableError: the cell does not answer.
        psycopg.Error: its schemas are not there yet.
    """
    with routing.connect(
        cell, "auditor", autocommit=True, application_name="capstone tenant", settings=settings or get_settings()
    ) as connection:
        return dict(connection.execute("select model, count(*) from saas.tenants group by model order by model desc"))
