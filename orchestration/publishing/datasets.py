"""The datasets that may leave a cell: which relation is read, and which table of database ``global`` it is added to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from psycopg import sql

DatasetName = Literal["funnel", "cohorts", "revenue"]
NAMES: tuple[DatasetName, ...] = get_args(DatasetName)

CELL_SCHEMA, GLOBAL_SCHEMA, VIEW_SCHEMA = "marts", "publishing", "marts"
# How many groups the periods that closed had, and how many of them were held back.
CLOSED_PERIODS = sql.Identifier(CELL_SCHEMA, "agg_closed_periods")


class UndeclaredDatasetError(ValueError):
    """Somebody wants to publish what is not declared; nothing leaves the cell."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name!r} is no declared dataset: only {', '.join(NAMES)} may leave a cell")


@dataclass(frozen=True)
class Dataset:
    """One dataset.

    Attributes:
        name: also of its table and view in database ``global``.
        model: the cell's relation, in schema ``marts``.
        columns: that are published, in order; every relation has region and closes_on besides.
        counts: those of them that count persons or what persons did: at least k, rounded.
        description: for people.
    """

    name: DatasetName
    model: str
    columns: tuple[str, ...]
    counts: tuple[str, ...]
    description: str

    @property
    def relation(self) -> sql.Identifier:
        return sql.Identifier(CELL_SCHEMA, self.model)

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(GLOBAL_SCHEMA, self.name)

    @property
    def view(self) -> sql.Identifier:
        return sql.Identifier(VIEW_SCHEMA, self.name)


DATASETS: Mapping[DatasetName, Dataset] = {
    "funnel": Dataset(
        "funnel",
        "agg_funnel",
        ("funnel", "week", "detail", "first_step", "last_step", "step_name", "persons"),
        ("persons",),
        "persons who entered the funnel, by week and furthest step",
    ),
    "cohorts": Dataset(
        "cohorts",
        "agg_cohort_retention",
        ("cohort_name", "cohort", "weeks_later", "persons"),
        ("persons",),
        "persons by the week of their first purchase, and who came back how many weeks later",
    ),
    "revenue": Dataset(
        "revenue",
        "agg_daily_revenue",
        ("day", "currency", "persons", "orders", "revenue"),
        ("persons", "orders"),
        "revenue, orders and persons who ordered, by day and currency",
    ),
}


def dataset(name: str) -> Dataset:
    """Return the dataset of that name.

    Raises:
        UndeclaredDatasetError: there is none.
    """
    if name not in DATASETS:
        raise UndeclaredDatasetError(name)
    return DATASETS[cast(DatasetName, name)]
