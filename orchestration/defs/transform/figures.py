"""Pictures of the marts for the asset pages: the funnel of the days just built, and the cohorts' heat map.

Numbers over all tenants of a cell, never one tenant's: metadata is a copy of data too.
"""

# ruff: noqa: PLC0415 -- matplotlib takes a second to import, in the run and not with the code location

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 80
# A picture lies in the event log as text; more rows than these cannot be read in it anyway.
MOST_COHORTS = 24
MOST_OFFSETS = 18


@dataclass(frozen=True)
class FunnelStep:
    """Users of all tenants and days of a run who reached a step of a funnel, each once a day."""

    funnel: str
    step: int
    name: str
    users: int


@dataclass(frozen=True)
class ConversionDay:
    """User-days of all tenants that entered a funnel on a day, and those of them that finished it."""

    funnel: str
    day: date
    entered: int
    converted: int
    is_complete: bool


@dataclass(frozen=True)
class Transition:
    """How often one event followed another in a session, over all tenants and days of a run."""

    from_event: str
    to_event: str
    transitions: int


@dataclass(frozen=True)
class CohortCell:
    """Users of all tenants' cohorts of one period who were active ``offset`` periods later."""

    cohort: date
    offset: int
    users: int
    is_complete: bool = True


def markdown_picture(figure: "Figure", alternative: str) -> str:
    """Return the figure as Markdown with the picture in it."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight")
    return f"![{alternative}](data:image/png;base64,{base64.b64encode(picture.getvalue()).decode()})"


def funnel_picture(steps: Sequence[FunnelStep], title: str) -> str:
    """Return a bar per step and funnel with counts and conversion, as Markdown with the picture in it."""
    from matplotlib.figure import Figure

    funnels = list(dict.fromkeys(step.funnel for step in steps))
    figure = Figure(figsize=(5.2 * max(len(funnels), 1), 3.2))
    axes = figure.subplots(1, max(len(funnels), 1), squeeze=False)[0]
    for axis, funnel in zip(axes, funnels, strict=True):
        bars = sorted((step for step in steps if step.funnel == funnel), key=lambda step: step.step)
        entered = bars[0].users
        drawn = axis.barh([bar.name for bar in bars], [bar.users for bar in bars], color="#3f6fb5")
        axis.bar_label(
            drawn,
            [f"{bar.users:,}  {bar.users / entered:.0%}" if entered else f"{bar.users:,}" for bar in bars],
            padding=3,
        )
        axis.set_title(funnel)
        axis.invert_yaxis()
        axis.margins(x=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.tight_layout()
    return markdown_picture(figure, title)


def conversion_picture(days: Sequence[ConversionDay], title: str) -> str:
    """Return each funnel's conversion rate by day, as Markdown with the picture in it; days still open are dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3))
    axis = figure.subplots()
    for place, funnel in enumerate(dict.fromkeys(day.funnel for day in days)):
        line = [day for day in days if day.funnel == funnel and day.entered]
        # Up to the last complete day: a tenant that fell silent keeps a day of long ago open.
        settled = max((index + 1 for index, day in enumerate(line) if day.is_complete), default=0)
        complete, still_open = line[:settled], line[max(settled - 1, 0) :]
        for part, style, label in ((complete, "-", funnel), (still_open, "--", None if complete else funnel)):
            rates = [day.converted / day.entered for day in part]
            # matplotlib's own types know no dates.
            moments: Any = [day.day for day in part]
            axis.plot(moments, rates, style, marker=".", color=f"C{place}", label=label)
    axis.set_ylim(bottom=0)
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(title)
    figure.autofmt_xdate()
    return markdown_picture(figure, title)


def transitions_table(transitions: Sequence[Transition]) -> str:
    """Return the transitions as a Markdown table."""
    rows = [f"| {row.from_event} | {row.to_event} | {row.transitions:,} |" for row in transitions]
    return "\n".join(["| from | to | transitions |", "|---|---|--:|", *rows])


def cohort_picture(cells: Sequence[CohortCell], title: str) -> str:
    """Return the retention matrix with the counts written in it, as Markdown with the picture in it.

    The latest cohorts and the first offsets, as many as can be read. A count that can still grow is in italics and has
    a plus.
    """
    from matplotlib.figure import Figure

    cohorts = sorted({cell.cohort for cell in cells})[-MOST_COHORTS:]
    offsets = sorted({cell.offset for cell in cells if cell.cohort in cohorts})[:MOST_OFFSETS]
    users = {(cell.cohort, cell.offset): cell.users for cell in cells}
    unfinished = {(cell.cohort, cell.offset) for cell in cells if not cell.is_complete}
    shares = [
        [
            users[cohort, offset] / users[cohort, 0] if (cohort, offset) in users and users[cohort, 0] else float("nan")
            for offset in offsets
        ]
        for cohort in cohorts
    ]
    figure = Figure(figsize=(1.5 + 0.55 * len(offsets), 1.2 + 0.32 * len(cohorts)))
    axis = figure.subplots()
    # Offset 0 is always everybody: coloured with it, the rest would be indistinguishable.
    later = [share for row in shares for share in row[1:] if share == share]  # noqa: PLR0124 -- leaves out nan
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=max([*later, 0.01]), aspect="auto")
    for row, cohort in enumerate(cohorts):
        for column, offset in enumerate(offsets):
            if (cohort, offset) in users:
                dark = shares[row][column] > max([*later, 0.01]) / 2
                axis.text(
                    column,
                    row,
                    f"{users[cohort, offset]:,}{'+' if (cohort, offset) in unfinished else ''}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    style="italic" if (cohort, offset) in unfinished else "normal",
                    color="white" if dark else "black",
                )
    axis.set_xticks(range(len(offsets)), [str(offset) for offset in offsets])
    axis.set_yticks(range(len(cohorts)), [cohort.isoformat() for cohort in cohorts])
    axis.set_xlabel("periods since the cohort's own")
    axis.set_title(title)
    figure.tight_layout()
    return markdown_picture(figure, title)
