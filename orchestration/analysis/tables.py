"""Answers as tables for a terminal."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from orchestration.analysis.asking import Answer, Part
from orchestration.analysis.funnel import FunnelResult
from orchestration.analysis.retention import Matrix

# A terminal is not wider; --json has all of them.
SHOWN_OFFSETS = 14


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:,.3f}".rstrip("0").rstrip(".")


def _parts(answer: Answer[Part]) -> list[tuple[str | None, Part]]:
    return list(answer.parts.items()) if answer.whole is None else [(None, answer.whole)]


def _titled(answer: Answer[FunnelResult] | Answer[Matrix], value: str | None) -> str | None:
    return None if value is None else f"{answer.breakdown}: {value}"


def funnel_tables(answer: Answer[FunnelResult]) -> Iterator[Table]:
    """Yield the funnel as a table, or one for each value of its breakdown."""
    for value, result in _parts(answer):
        title = _titled(answer, value)
        table = Table(title=None if title is None else Text(title))
        for heading in ("step", "users", "of entered", "of step before", "average s", "median s"):
            table.add_column(heading, justify="left" if heading == "step" else "right")
        before = result.step_counts[0]
        for number, name in enumerate(answer.names):
            users = result.step_counts[number]
            table.add_row(
                # A step's name is somebody's text, not markup.
                Text(f"{number + 1}  {name}"),
                f"{users:,}",
                _share(users, result.step_counts[0]),
                _share(users, before) if number else "",
                _seconds(result.avg_seconds[number]),
                _seconds(result.median_seconds[number]),
            )
            before = users
        yield table


def retention_tables(answer: Answer[Matrix]) -> Iterator[Table]:
    """Yield the matrix as a table, or one for each value of its breakdown."""
    for value, matrix in _parts(answer):
        title = _titled(answer, value)
        longest = max((len(counts) for counts in matrix.values()), default=0)
        left_out = (
            f"offsets 0 to {SHOWN_OFFSETS - 1} of {longest - 1}; --json has all" if longest > SHOWN_OFFSETS else None
        )
        table = Table(title=None if title is None else Text(title), caption=left_out)
        table.add_column("cohort")
        for offset in range(min(longest, SHOWN_OFFSETS)):
            table.add_column(str(offset), justify="right")
        for cohort, counts in matrix.items():
            table.add_row(cohort.isoformat(), *(f"{count:,}" for count in counts[:SHOWN_OFFSETS]))
        yield table
