"""The picture of the global marts: revenue by day, a panel a region."""

# ruff: noqa: PLC0415 -- matplotlib takes a second to import, in the run and not with the code location

from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.defs.transform.figures import markdown_picture

# More days than these cannot be told apart at this width.
MOST_DAYS = 120


def revenue_picture(rows: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> str | None:
    """Return revenue by day, a panel a region and a line a currency, as Markdown; None when there is no amount yet.

    A region that is stale or never published says so above its panel, with its age. A day that was held back is a gap.
    """
    from matplotlib.figure import Figure

    days = sorted({row["day"] for row in rows if row["day"] is not None})[-MOST_DAYS:]
    if not any(row["revenue"] is not None for row in rows):
        return None
    figure = Figure(figsize=(8, 2.1 * len(regions)))
    panels = figure.subplots(len(regions), 1, squeeze=False, sharex=True)
    for axis, region in zip(panels[:, 0], regions, strict=True):
        own = [row for row in rows if row["region"] == region]
        for place, currency in enumerate(sorted({row["currency"] for row in own if row["revenue"] is not None})):
            amounts = {row["day"]: float(row["revenue"]) for row in own if row["currency"] == currency}
            line: Any = [amounts.get(day, float("nan")) for day in days]
            moments: Any = days
            axis.plot(moments, line, marker=".", color=f"C{place}", label=currency)
            axis.legend(frameon=False, loc="upper left")
        state = own[0]["state"] if own else "never"
        age = f", {own[0]['age']} old" if own and own[0]["age"] is not None else ""
        axis.set_title(region if state == "fresh" else f"{region}: {state}{age}")
        axis.set_ylim(bottom=0)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.spines[["top", "right"]].set_visible(False)
    figure.autofmt_xdate()
    figure.tight_layout()
    return markdown_picture(figure, "revenue by day and region")
