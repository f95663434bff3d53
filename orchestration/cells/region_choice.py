"""Which cell a request goes to: from the person and the tenant that it is about, a region that is named, the caller's.

Who decides, and what happens when two say different things:

    the request is about     it goes to                   another explicit region   another region in the header
    -----------------------  ---------------------------  ------------------------  ----------------------------
    a person                 the person's home            RegionConflictError       overruled by the home
    a tenant                 the tenant's cell            RegionConflictError       overruled by the cell
    a person with a tenant   the tenant's cell; or        RegionConflictError       overruled by the cell
                             MisplacedPersonError, where
                             their region forbids it
    neither, region named    that region                  -                         overruled by the named one
    neither, only a header   the header's region          -                         -
    neither, nothing named   NoRegionError                -                         -

This holds for reads and for writes alike: people's and tenants' rows are nowhere but at home. The header says where the
caller is, which is no reason to look for data there; an explicit region is what the program means, so a contradiction
is a mistake in it and nothing is sent anywhere. Whatever is given has to be a region, also where it would be
overruled.

Global data are in every cell: `nearest` chooses among the copies by explicit region, header, or the process's own cell.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal
from uuid import UUID

from orchestration.cells.regions import CELLS, REGIONS, Cell, parse_cell

# Set by the edge that accepts a request. Its value is a cell's name and nothing else: no country, no provider's region,
# for a table of those would need a default for the ones that it lacks.
REGION_HEADER = "x-region"

DecidedBy = Literal["person", "tenant", "region", "header", "process"]


class RegionChoiceError(ValueError):
    """The request cannot be sent to a cell; the message says why.

    Attributes:
        status: what a web server answers, as an HTTP status code.
    """

    status: ClassVar[int] = 400


class NoRegionError(RegionChoiceError):
    """Nothing says where the request belongs; there is no default."""


class RegionConflictError(RegionChoiceError):
    """The program names one region, and what the request is about is at home in another."""

    status = 409


class MisplacedPersonError(RegionChoiceError):
    """The person's region does not let them live in the cell of the tenant."""

    status = 409


@dataclass(frozen=True)
class PersonHome:
    """Where a person is at home.

    Attributes:
        person: the id in ``geo.users``.
        cell: the cell with the record that counts.
        region: region of record.
    """

    person: UUID
    cell: Cell
    region: Cell


@dataclass(frozen=True)
class Subject:
    """What a request is about, and where its caller says to be.

    Attributes:
        person: the person that it is about, an id of ``geo.users``.
        tenant: the tenant that it is about: id, or subdomain.
        region: the region that the program names, None when it names none.
        headers: of the request, names in any case; ``X-Region`` is where its caller is.
    """

    person: UUID | None = None
    tenant: UUID | str | None = None
    region: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """A cell, and who chose it.

    Attributes:
        cell: where the request goes.
        decided_by: what of the request decided.
        caller: where its caller is, None when no header says so.
    """

    cell: Cell
    decided_by: DecidedBy
    caller: Cell | None = None


def caller_region(headers: Mapping[str, str]) -> Cell | None:
    """Return the region in the header ``X-Region``, None when there is no such header.

    Raises:
        UnknownCellError: the header is no exact region: empty, blank, upper case, unknown.
        RegionChoiceError: it is there more than once.
    """
    given = [value for name, value in headers.items() if name.lower() == REGION_HEADER]
    if len(given) > 1:
        raise RegionChoiceError(f"the request has the header X-Region {len(given)} times: one is needed")
    return parse_cell(given[0], "header X-Region") if given else None


def _named(subject: Subject) -> tuple[Cell | None, Cell | None]:
    explicit = None if subject.region is None else parse_cell(subject.region, "region")
    return explicit, caller_region(subject.headers)


def choose(subject: Subject, *, person: PersonHome | None = None, tenant: Cell | None = None) -> Choice:
    """Return the cell of a request; the table above, as a function.

    Args:
        subject: the request.
        person: the home of the subject's person.
        tenant: the cell of its tenant.

    Raises:
        UnknownCellError: a region or a header is not one.
        NoRegionError: nothing names a region.
        RegionConflictError: the region that is named is not that of person or tenant.
        MisplacedPersonError: the person may not live in the tenant's cell.
    """
    explicit, caller = _named(subject)
    if tenant is not None:
        if person is not None and tenant not in REGIONS[person.region].residency:
            raise MisplacedPersonError(
                f"a person of region {person.region!r} may not live in cell {tenant!r}, where the tenant is: "
                f"only a tenant in {', '.join(REGIONS[person.region].residency)} can have them, or they move first"
            )
        choice = Choice(tenant, "tenant", caller)
    elif person is not None:
        choice = Choice(person.cell, "person", caller)
    elif explicit is not None:
        choice = Choice(explicit, "region", caller)
    elif caller is not None:
        choice = Choice(caller, "header", caller)
    else:
        raise NoRegionError(
            "the request names no person, no tenant and no region: give one, "
            f"or the header X-Region with one of {', '.join(CELLS)}"
        )
    if explicit is not None and explicit != choice.cell:
        raise RegionConflictError(
            f"region {explicit!r} was asked for, but the {choice.decided_by} is at home in {choice.cell!r}: "
            "leave the region out, or name that one"
        )
    return choice


def nearest(subject: Subject, here: Cell | None) -> Choice:
    """Return the cell whose copy of global data is nearest to the caller.

    Args:
        subject: the request; its region goes before its header.
        here: the cell beside which this process runs, for requests that name none.

    Raises:
        UnknownCellError: a region or a header is not one.
        NoRegionError: nothing names a region and the process has none.
    """
    explicit, caller = _named(subject)
    if explicit is not None:
        return Choice(explicit, "region", caller)
    if caller is not None:
        return Choice(caller, "header", caller)
    if here is not None:
        return Choice(here, "process")
    raise NoRegionError(
        "the request names no region and this process has none of its own: give a region, the header X-Region, "
        f"or `here`; one of {', '.join(CELLS)}"
    )
