"""What rows must be like to cross the border: the rule once more, in other code than the SQL that made them.

The models hold the rule already. A mistake in one of them, or a hand at the relation that is read, must not be what
decides that a small group leaves the cell for good.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from orchestration.publishing.datasets import Dataset
from orchestration.publishing.rule import DisclosureRule

Row = Mapping[str, Any]


class BorderError(RuntimeError):
    """Rows violate the rule, so nothing of the dataset leaves the cell; the message has names and numbers of rows."""


def _is_count(value: Any, rule: DisclosureRule) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= rule.k and value % rule.rounding == 0


def _is_fit(row: Row, region: str, dataset: Dataset, rule: DisclosureRule, closed_through: date) -> bool:
    if row["region"] != region or not isinstance(row["closes_on"], date) or row["closes_on"] > closed_through:
        return False
    if not all(_is_count(row[column], rule) for column in dataset.counts):
        return False
    if dataset.name == "revenue":
        return bool((row["currency"] == "other") == (row["revenue"] is None) and row["orders"] >= row["persons"])
    return True


def _broken_weeks(rows: Iterable[Row]) -> int:
    """Return how many rows are in weeks of a funnel whose groups are not one after the other from the first step on.

    Two details of one week would differ by a group that nobody checked.
    """
    weeks: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for row in rows:
        weeks[row["funnel"], row["week"]].append(row)
    broken = 0
    for groups in weeks.values():
        groups.sort(key=lambda row: row["first_step"])
        starts = [1, *(row["last_step"] + 1 for row in groups[:-1])]
        if len({row["detail"] for row in groups}) > 1 or [row["first_step"] for row in groups] != starts:
            broken += len(groups)
    return broken


def require_fit(rows: Sequence[Row], region: str, dataset: Dataset, rule: DisclosureRule, closed_through: date) -> None:
    """Refuse a dataset of which a single row violates the rule.

    Args:
        rows: with region, closes_on and the dataset's columns.
        region: the cell that they are read from.
        dataset: what they are.
        rule: of the project.
        closed_through: the day up to which the cell says that periods have settled.

    Raises:
        BorderError: names cell, dataset and number of rows.
    """
    unfit = sum(not _is_fit(row, region, dataset, rule, closed_through) for row in rows)
    if not unfit and dataset.name == "funnel":
        unfit = _broken_weeks(rows)
    if unfit:
        raise BorderError(
            f"dataset {dataset.name!r} of cell {region!r}: {unfit} of {len(rows)} rows are not groups of at least "
            f"k = {rule.k} persons as the rule has them; nothing of it was published. marts.{dataset.model} was not "
            f"built by this project's rule: build it again (`capstone materialize {region}/marts/{dataset.model}`)"
        )


def withhold(rows: Sequence[Row], sizes: Mapping[tuple[str, date], int], rule: DisclosureRule) -> tuple[list[Row], int]:
    """Return the rows of cohorts that fit what is published, and the number of those that do not.

    A cohort's size is published once, and what has come late or was erased since is not in it. Of the size as it is
    published, at least k must be left when those who came back are taken away.

    Args:
        rows: of dataset cohorts, new ones.
        sizes: published size by cohort's name and week.
        rule: of the project.
    """
    known = dict(sizes) | {
        (row["cohort_name"], row["cohort"]): row["persons"] for row in rows if not row["weeks_later"]
    }
    kept = [
        row
        for row in rows
        if not row["weeks_later"] or known.get((row["cohort_name"], row["cohort"]), 0) - row["persons"] >= rule.k
    ]
    return kept, len(rows) - len(kept)
