"""People who may live in one other cell only, known to a proof by salted digests: their ids and e-mail addresses."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import REGIONS, Cell
from orchestration.proofs.residency import marks
from orchestration.settings import Settings

Connection = psycopg.Connection[Any]

# Persons of whom digests are compared with another cell's; of more, the comparison would outlast a proof.
MOST_COMPARED = 2_000_000

_SQL = Path(__file__).parent / "sql"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeopleElsewhere:
    """What is known of the people of other cells who may not live in the one that is proven.

    Attributes:
        also_here: how many of them have a record here all the same, by their cell.
        addresses: digests of their e-mail addresses, and whose they are; without those of people who live here too, for
            one human may have a record in two regions.
        too_many: cells that have too many people, or that this one has too many for, to be compared.
        unread: cells that answer and whose people could not be read all the same.
    """

    also_here: Mapping[Cell, int] = field(default_factory=dict)
    addresses: Mapping[str, Cell] = field(default_factory=dict)
    too_many: tuple[Cell, ...] = ()
    unread: tuple[Cell, ...] = ()


def people_elsewhere(cell: Cell, salt: str, auditor: Connection, settings: Settings) -> PeopleElsewhere:
    """Compare the people of ``cell`` with those of people who may live nowhere but in another one.

    A cell that is away sends nothing anywhere either, so it makes no other cell unproven; the log says that it was not
    compared with. One that answers and cannot be read does.

    Raises:
        psycopg.Error: the cell's own database cannot be used.
    """
    also_here: dict[Cell, int] = {}
    addresses: dict[str, Cell] = {}
    too_many: list[Cell] = []
    unread: list[Cell] = []
    for region in REGIONS.values():
        for home in region.residency if cell not in region.residency else ():
            try:
                with routing.connect(
                    home, "auditor", autocommit=True, application_name="capstone proof", settings=settings
                ) as connection:
                    theirs = _digests(connection, "person_digests.sql", salt, [region.cell])
                    their_addresses = _digests(connection, "address_digests.sql", salt, [region.cell])
            except (psycopg.Error, routing.CellUnavailableError, endpoints.EndpointError) as error:
                if _is_answer(error):
                    unread.append(home)
                else:
                    _log.warning("cell %s is away: its people were not looked for in cell %s", home, cell)
                continue
            here = _digests(auditor, "person_digests.sql", salt, [each.cell for each in REGIONS.values()])
            if max(len(theirs), len(their_addresses), len(here)) > MOST_COMPARED:
                too_many.append(home)
                continue
            if both := len(theirs & here):
                also_here[home] = both
            addresses |= dict.fromkeys(their_addresses, home)
    if addresses:
        own = _digests(auditor, "address_digests.sql", salt, [each.cell for each in REGIONS.values()])
        if len(own) > MOST_COMPARED:
            too_many += sorted(set(addresses.values()) - set(too_many))
        addresses = {each: home for each, home in addresses.items() if each not in own}
    return PeopleElsewhere(
        also_here, {f"{marks.ADDRESS}{each}": home for each, home in addresses.items()}, tuple(too_many), tuple(unread)
    )


def _is_answer(error: Exception) -> bool:
    """Return whether a server that is up refused: its errors have a code, and those of class 57P say that it ends."""
    return isinstance(error, psycopg.Error) and error.sqlstate is not None and not error.sqlstate.startswith("57P")


def _digests(connection: Connection, query: str, salt: str, regions: list[str]) -> frozenset[str]:
    text = (_SQL / query).read_text() + f"limit {MOST_COMPARED + 1}"
    rows = connection.execute(text.encode(), {"salt": salt, "regions": regions})
    return frozenset(str(row[0]) for row in rows)
