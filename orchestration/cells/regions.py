"""The regions of the service. A cell is one region's database and Redis; all cells are identical in shape."""

from dataclasses import dataclass
from typing import ClassVar, Literal, cast, get_args

Cell = Literal["na", "eu", "apac"]
Cluster = Literal["control", "na", "eu", "apac"]

CELLS: tuple[Cell, ...] = get_args(Cell)
CLUSTERS: tuple[Cluster, ...] = get_args(Cluster)


class UnknownCellError(ValueError):
    """A name that is not a cell was given; there is no default region, ever."""

    # What a web server answers, as an HTTP status code.
    status: ClassVar[int] = 400

    def __init__(self, name: object, said_by: str = "") -> None:
        by = f"{said_by}: " if said_by else ""
        super().__init__(f"{by}unknown cell {name!r}: one of {', '.join(CELLS)} (lower case) is needed")


@dataclass(frozen=True)
class Region:
    """One region.

    Attributes:
        cell: the cell that serves it.
        name: for people.
        residency: the cells in which a person of this region may live.
        share: this region's part of synthetic tenants and events; the shares add up to 1.
    """

    cell: Cell
    name: str
    residency: tuple[Cell, ...]
    share: float


REGIONS: dict[Cell, Region] = {
    "na": Region("na", "North America", CELLS, 0.5),
    "eu": Region("eu", "European Union", ("eu",), 0.3),
    "apac": Region("apac", "Asia-Pacific", CELLS, 0.2),
}


# Where rows of global relations are written and read strongly: the one cell that is right when two differ.
GLOBAL_HOME: Cell = "na"


def parse_cell(name: str | None, said_by: str = "") -> Cell:
    """Return ``name`` as a cell.

    Args:
        name: an exact cell name.
        said_by: what named it, for the message: a header, an option.

    Raises:
        UnknownCellError: for anything but an exact cell name, None and blanks too; a region is never guessed.
    """
    if name not in CELLS:
        raise UnknownCellError(name, said_by)
    return cast(Cell, name)
