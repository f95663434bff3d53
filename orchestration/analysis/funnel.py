"""A funnel asked of events: the marts' own generator, over any file or any tenant's events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from orchestration.analysis.event_source import Breakdown, EventSource, first_touches, kept_sequences
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


def reads_sequences(spec: FunnelSpec) -> bool:
    """Return whether kept sequences suffice: event types without properties, in order, and none of them excluded."""
    of_types = [step if isinstance(step, str) or step.get("props") else step["type"] for step in spec.steps]
    return spec.mode == "ordered" and not spec.exclusions and all(isinstance(step, str) for step in of_types)


def _query(
    spec: FunnelSpec, *, first: date | None, last: date | None, kept: bool = False, touches: str | None = None
) -> str:
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
        sequences="kept_sequences" if kept else None,
    )


def _result(rows: Sequence[tuple[Any, ...]], steps: int) -> FunnelResult:
    if not rows:
        return FunnelResult((0,) * steps, (None,) * steps, (None,) * steps)
    users, averages, medians = zip(*rows, strict=True)
    return FunnelResult(tuple(users), tuple(averages), tuple(medians))


def ask_funnel(
    source: EventSource,
    spec: FunnelSpec,
    *,
    first: date | None = None,
    last: date | None = None,
    kept: bool = False,
) -> FunnelResult:
    """Return the funnel, one result per user.

    Args:
        source: of the events.
        spec: of the funnel.
        first: day (UTC) before which nothing starts; ``last`` likewise the last one.
        last: see ``first``.
        kept: read the sequences that dbt keeps instead of the tenant's events; needs :func:`reads_sequences`.
    """
    query = _query(spec, first=first, last=last, kept=kept)
    rows = source.rows(
        f"select users, avg_seconds, median_seconds from {query} as f order by step",  # noqa: S608 -- rendered
        *([kept_sequences()] if kept else []),
    )
    return _result(rows, len(spec.steps))


def ask_funnel_by(
    source: EventSource,
    spec: FunnelSpec,
    breakdown: Breakdown,
    *,
    first: date | None = None,
    last: date | None = None,
    kept: bool = False,
) -> dict[str, FunnelResult]:
    """Return the funnel for each value of the users' first touch, the largest first; see :func:`ask_funnel`."""
    query = _query(spec, first=first, last=last, kept=kept, touches="first_touches")
    rows = source.rows(
        f"select breakdown_value, users, avg_seconds, median_seconds from {query} as f order by step",  # noqa: S608
        first_touches(breakdown),
        *([kept_sequences()] if kept else []),
    )
    found: dict[str, list[tuple[Any, ...]]] = {}
    for value, *figures in rows:
        found.setdefault(value, []).append(tuple(figures))
    results = {value: _result(of_value, len(spec.steps)) for value, of_value in found.items()}
    return dict(sorted(results.items(), key=lambda item: (-item[1].step_counts[0], item[0])))
