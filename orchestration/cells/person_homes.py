"""Where a person is at home: asked in the cells by id, kept for some seconds, and asserted in the transaction.

Only the id goes to a cell that the person does not live in, and only a region comes back. A person may have records in
several cells (a shopper of two tenants); home is the cell that their region of record names, or, where a tenant's move
has left none there, the one cell that has a record.

What is kept only chooses where to ask. The transaction itself looks at the person's record again (`assert_home`) and,
when it writes, locks it: whoever moves a person changes or deletes that row, so either the move waits for the write or
the write finds the person gone and fails before anything was written.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Literal
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from orchestration.cells.kept_answers import KeptAnswers
from orchestration.cells.region_choice import PersonHome
from orchestration.cells.regions import CELLS, Cell, parse_cell
from orchestration.cells.routing import CellUnavailableError

# Long enough that a person who clicks is looked up hardly ever. A move is noticed at once, by the assertion.
KEEP_SECONDS = 10.0
# 20,000 ids with their homes are 5 MB.
KEEP_MOST = 20_000

# read: the record is as expected; share: nobody moves the person until the transaction ends; write: nobody else writes
# to the person either, so that two writers cannot wait for each other. Foreign keys go on referring to the row.
Hold = Literal["read", "share", "write"]
_HOLD: dict[Hold, str] = {
    "read": "select u.region from geo.users as u where u.id = %s",
    "share": "select u.region from geo.users as u where u.id = %s for share",
    "write": "select u.region from geo.users as u where u.id = %s for no key update",
}

# Returns the region of record that a cell has for a person, None when it has none.
RegionIn = Callable[[Cell, UUID], str | None]


class UnknownPersonError(LookupError):
    """No cell has this person."""

    status: ClassVar[int] = 404


class PersonMovedError(RuntimeError):
    """The person is no longer at home where the transaction began; nothing was written."""

    status: ClassVar[int] = 409


class PersonHomeError(RuntimeError):
    """The cells' records of a person do not say where they are at home; the message names the cells."""

    status: ClassVar[int] = 409


def decide_home(person: UUID, found: Mapping[Cell, Cell], silent: Iterable[Cell] = ()) -> PersonHome:
    """Return where a person is at home.

    Args:
        person: whose records were looked for.
        found: the region of record in each cell that has one.
        silent: cells that did not answer.

    Raises:
        UnknownPersonError: all cells answered, and none has a record.
        PersonHomeError: two cells say that the person is at home there, or none does and several have a record.
        CellUnavailableError: the answer lies with a cell that did not answer.
    """
    silent = tuple(silent)
    at_home = [cell for cell, region in found.items() if region == cell]
    if len(at_home) == 1:
        return PersonHome(person, at_home[0], at_home[0])
    if at_home:
        raise PersonHomeError(
            f"person {person} is at home in {' and '.join(at_home)} at once: a move goes on, try again when it has "
            "ended"
        )
    if silent:
        raise CellUnavailableError(
            f"where person {person} is at home cannot be said while {', '.join(silent)} does not answer: "
            "start it with `capstone up` and ask again"
        )
    if not found:
        raise UnknownPersonError(f"no cell has person {person}")
    if len(found) > 1:
        raise PersonHomeError(
            f"person {person} has records in {', '.join(found)} and none in the region of record "
            f"({', '.join(sorted(set(found.values())))}): move the person there"
        )
    ((cell, region),) = found.items()
    return PersonHome(person, cell, region)


class PersonHomes:
    """Finds homes and keeps them for some seconds; for threads.

    Args:
        region_in: asks one cell for a person's region of record; raises CellUnavailableError when it does not answer.
        keep: seconds for which a home is kept. That there is none is not kept: the next request may be after a
            registration.
        most: how many are kept.
    """

    def __init__(self, region_in: RegionIn, *, keep: float = KEEP_SECONDS, most: int = KEEP_MOST) -> None:
        self._region_in = region_in
        self._kept: KeptAnswers[UUID, PersonHome] = KeptAnswers(keep, most)

    def find(self, person: UUID) -> PersonHome:
        """Return where a person is at home; see :func:`decide_home`.

        Raises:
            UnknownPersonError, PersonHomeError, CellUnavailableError.
            UnknownCellError: a record names no region.
        """
        kept = self._kept.get(person)
        if kept is not None:
            return kept
        found: dict[Cell, Cell] = {}
        silent: list[Cell] = []
        for cell in CELLS:
            try:
                region = self._region_in(cell, person)
            except CellUnavailableError:
                silent.append(cell)
                continue
            if region is not None:
                found[cell] = parse_cell(region, f"record of person {person} in cell {cell!r}")
        home = decide_home(person, found, silent)
        self._kept.keep(person, home)
        return home

    def forget(self, person: UUID) -> None:
        """Drop what is kept of a person: they were not there."""
        self._kept.forget(person)


def assert_home(connection: psycopg.Connection[Any], home: PersonHome, hold: Hold) -> None:
    """Fail unless the person's record is in the connection's cell as expected; until the transaction ends, hold it so.

    Args:
        connection: in a transaction, of role auditor to read, of role loader to lock.
        home: as it was found; the record's region is compared.
        hold: how firmly.

    Raises:
        PersonMovedError: there is no record here any more, or its region is another.
        psycopg.errors.SerializationFailure: under REPEATABLE READ the record changed meanwhile.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(_HOLD[hold], [home.person]).fetchone()
    if row is None or row[0] != home.region:
        now = "has no record there" if row is None else f"is of region {row[0]!r}"
        raise PersonMovedError(
            f"person {home.person} was of region {home.region!r} in cell {home.cell!r} and now {now}: "
            "nothing was written"
        )
