"""What a cell holds: every declared relation, as it is declared, with its estimated or counted rows."""

from dataclasses import dataclass
from pathlib import Path

from psycopg.rows import class_row

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import load_relations
from orchestration.settings import Settings, get_settings

_INVENTORY = Path(__file__).with_name("inventory.sql")


@dataclass(frozen=True)
class RelationRows:
    """A declared relation that exists, and about how many rows it has (of a view: None)."""

    name: str
    kind: str
    relkind: str
    rows: int | None


@dataclass(frozen=True)
class _Estimate:
    name: str
    rows: int | None


def inventory(cell: Cell, *, settings: Settings | None = None) -> tuple[RelationRows, ...]:
    """Return the declared relations of ``cell`` that exist, in the file's order.

    Rows are the statistics' live rows, exact enough to see that something is empty or doubled, and free of cost.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
        community = connection.execute("select current_setting('timescaledb.license') = 'timescale'").fetchone()
        declared = load_relations("community" if community and community[0] else "apache")
        with connection.cursor(row_factory=class_row(_Estimate)) as cursor:
            found = cursor.execute(_INVENTORY.read_text(), {"names": [each.name for each in declared]}).fetchall()
    rows = {each.name: each.rows for each in found}
    return tuple(
        RelationRows(each.name, each.kind, each.relkind, rows[each.name]) for each in declared if each.name in rows
    )
