"""A funnel asked of events: the marts' own generator, over any file or any tenant's events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from orchestration.analysis.event_source import Breakdown, EventSource, first_touches
from orchestration.analysis.render import CONFIGURED_FUNNELS, FUNNEL, render
from orchestration.analysis.spec import FunnelSpec, Step


@dataclass(frozen=True)
class FunnelResult:
    """Per step: how many users reached it, and the seconds since the step before; None where there are none."""

    step_counts: tuple[int, ...]
    avg_seconds: tuple[float | None, ...]
    median_seconds: tuple[float | None, ...]

    def as_json(self) -> dict[str, list[Any]]:
        """Return what the cases call ``expected``."""
        return {
            "step_counts": list(self.step_counts),
            "avg_seconds": list(self.avg_seconds),
            "median_seconds": list(self.median_seconds),
        }


def step_name(step: Step) -> str:
    """Return what a step is called in a table."""
    return render(CONFIGURED_FUNNELS, "funnel_step_name", step=step)


def _day_literal(day: date | None) -> str | None:
    return None if day is None else f"date '{day.isoformat()}'"


def _query(spec: FunnelSpec, first: date | None, last: date | None, touches: str | None) -> str:
    return render(
        FUNNEL,
        "funnel_steps",
        steps=list(spec.steps),
        window_seconds=spec.window_seconds,
        events="asked_events",
        first_day=_day_literal(first),
        last_day=_day_literal(last),
        by_day=False,
        mode=spec.mode,
        exclusions=list(spec.exclusions),
        touches=touches,
    )


def _result(rows: Sequence[tuple[Any, ...]], steps: int) -> FunnelResult:
    if not rows:
        return FunnelResult((0,) * steps, (None,) * steps, (None,) * steps)
    users, averages, medians = zip(*rows, strict=True)
    return FunnelResult(tuple(users), tuple(averages), tuple(medians))


def ask_funnel(
    source: EventSource, spec: FunnelSpec, *, first: date | None = None, last: date | None = None
) -> FunnelResult:
    """Return the funnel, one result per user; ``first`` and ``last`` limit the days (UTC, inclusive) of its starts."""
    query = f"select step, users, avg_seconds, median_seconds from {_query(spec, first, last, None)} as f"  # noqa: S608 -- rendered
    return _result([row[1:] for row in sorted(source.rows(query))], len(spec.steps))


def ask_funnel_by(
    source: EventSource, spec: FunnelSpec, breakdown: Breakdown, *, first: date | None = None, last: date | None = None
) -> dict[str, FunnelResult]:
    """Return the funnel for each value of the users' first touch, the largest first."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    query = f"select * from {_query(spec, first, last, 'first_touches')} as f order by step"  # noqa: S608 -- rendered
    names = f"select breakdown_value, users, avg_seconds, median_seconds from ({query}) as f order by step"  # noqa: S608
    for value, *figures in source.rows(names, more_tables=first_touches(breakdown)):
        found.setdefault(value, []).append(tuple(figures))
    results = {value: _result(rows, len(spec.steps)) for value, rows in found.items()}
    return dict(sorted(results.items(), key=lambda item: (-item[1].step_counts[0], item[0])))
