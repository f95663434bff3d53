"""Are the cells identical in shape? Their catalogs' facts, compared line by line."""

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

from psycopg.errors import InvalidSchemaName, UndefinedFunction

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.relations import DBT_SCHEMAS
from orchestration.settings import Settings, get_settings

# What a cell's own server may name differently, and says nothing of the shape.
_OWN = re.compile(r"^\(?(database|subscription|published|publication)[ ,]")
# Which tenants have schemas or a database of their own is no difference of shape; that those look like the shared ones
# is a rule of the isolation suite.
_OF_A_TENANT = re.compile(r"\b(t_[0-9a-f]{32}_(saas|ecommerce)|tenant_[0-9a-f]{32})\b")
# A fact is a row as text: what kind of fact, about what, and then what is so, as in (column,marts.fct_funnel,1,…).
_ABOUT = re.compile(r"^\(?\w[^,]*,\"?([^,\")]+)")


@dataclass(frozen=True)
class Comparison:
    """One cell against the others.

    Attributes:
        compared: the other cells that were compared.
        absent: the other cells that could not be, and why.
        facts: of the catalog, looked at in this cell.
    """

    cell: Cell
    compared: tuple[Cell, ...]
    absent: Mapping[Cell, str]
    facts: int
    differences: tuple["Difference", ...]

    def describe(self) -> str:
        """Return one line for people, naming the first differences."""
        others = ", ".join(self.compared)
        if not self.compared:
            return f"no other cell than {self.cell} is there to compare with"
        if not self.differences:
            return f"{self.cell} has the same shape as {others}: {self.facts} facts agree"
        first = "; ".join(f"only in {', '.join(each.cells)}: {each.fact[:120]}" for each in self.differences[:3])
        return f"{self.cell} and {others} differ in {len(self.differences)} facts: {first}"


@dataclass(frozen=True)
class Difference:
    """A fact of the catalog that not all cells share: what it is about, and which cells have it."""

    fact: str
    cells: tuple[Cell, ...]


def shape(cell: Cell, *, settings: Settings | None = None) -> frozenset[str]:
    """Return the facts that make up the shape of ``cell``.

    Raises:
        CellUnavailableError: the cell does not answer.
        psycopg.Error: its schemas are not there yet.
    """
    with routing.connect(cell, "auditor", autocommit=True, settings=settings or get_settings()) as connection:
        facts = [str(row[0]) for row in connection.execute("select fact from platform.catalog_facts()")]
    return frozenset(fact for fact in facts if not _OWN.match(fact) and not _OF_A_TENANT.search(fact))


def compare(cell: Cell, *, settings: Settings | None = None) -> Comparison:
    """Compare ``cell`` with every other cell that is there.

    Raises:
        CellUnavailableError: ``cell`` itself does not answer.
    """
    settings = settings or get_settings()
    found = {cell: shape(cell, settings=settings)}
    absent: dict[Cell, str] = {}
    for other in CELLS:
        if other == cell:
            continue
        try:
            found[other] = shape(other, settings=settings)
        except (routing.CellUnavailableError, endpoints.EndpointError):
            absent[other] = "cannot be reached"
        except (UndefinedFunction, InvalidSchemaName):
            absent[other] = "has no schemas yet"
    compared = tuple(other for other in found if other != cell)
    return Comparison(cell, compared, absent, len(found[cell]), differences(found))


def differences(found: Mapping[Cell, frozenset[str]]) -> tuple[Difference, ...]:
    """Return the facts that some of the cells lack, in order.

    What dbt has not built yet in one cell is no difference; built there, it has to look alike.
    """
    held: dict[str, list[Cell]] = {}
    for cell, facts in found.items():
        for fact in facts:
            held.setdefault(fact, []).append(cell)
    built = {cell: {_relation(fact) for fact in facts} for cell, facts in found.items()}
    return tuple(
        Difference(fact, tuple(cells))
        for fact, cells in sorted(held.items())
        if any(cell not in cells and _expected(fact, built[cell]) for cell in found)
    )


def _relation(fact: str) -> str:
    """Return what a fact is about, its second field."""
    about = _ABOUT.match(fact)
    return about[1] if about else fact


def _expected(fact: str, built: Set[str]) -> bool:
    about = _relation(fact)
    return about.split(".")[0] not in DBT_SCHEMAS or about in built
