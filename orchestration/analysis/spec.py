"""What a funnel and a retention matrix are made of, and what may be asked for.

One set of checks for the configuration in ``dbt_project.yml`` and for a specification given to the command line; the
limits differ, the meaning of a field does not. Checks take plain values, as a YAML or JSON reader gives them, and
note every mistake instead of stopping at the first.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, get_args

from orchestration.analysis.mistakes import Place, shown

Period = Literal["day", "week", "month"]
Kind = Literal["first_time", "recurring", "rolling"]
Mode = Literal["ordered", "strict"]
Step = str | dict[str, Any]

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

# The generated query has a few lookups per step, and a bit mask where steps overlap.
MAX_STEPS = 12

# Ad hoc: a conversion that takes longer than ten years is a mistake in the unit.
MAX_WINDOW_SECONDS = 10 * 366 * 86_400

# A matrix has a number for every pair of periods: this many days are eight million numbers.
MAX_PERIODS = 4_000


@dataclass(frozen=True)
class WindowRule:
    """Which conversion windows a document may ask for, in whole seconds; ``text`` says so to people."""

    least: int
    most: int
    optional: bool
    text: str


AD_HOC_WINDOW = WindowRule(
    0, MAX_WINDOW_SECONDS, optional=True,
    text=f"whole seconds from 0 to {MAX_WINDOW_SECONDS} (10 years), or null for no limit",
)  # fmt: skip


@dataclass(frozen=True)
class FunnelSpec:
    """A funnel that was checked; steps and exclusions are what the generator takes."""

    steps: tuple[Step, ...]
    window_seconds: int | None
    mode: Mode = "ordered"
    exclusions: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class RetentionSpec:
    """A retention matrix that was checked; without range its ends are None."""

    period: Period
    kind: Kind
    target_event: Step
    return_event: Step
    first: date | None = None
    last: date | None = None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def unstorable(text: str) -> str | None:
    """Return why PostgreSQL cannot hold this text, or None when it can."""
    if "\0" in text:
        return "holds a null character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half a surrogate pair, which is no character"
    return None


def check_text(value: Any, what: str, place: Place, *keys: str | int) -> None:
    """Note a value that is no text, is empty, or cannot be stored."""
    if not isinstance(value, str):
        place.wrong(f"{what} must be a text, not {shown(value)}", *keys)
    elif not value:
        place.wrong(f"{what} is empty", *keys)
    elif problem := unstorable(value):
        place.wrong(f"{what} {problem}", *keys)


def _check_json(value: Any, what: str, place: Place, *keys: str | int) -> None:
    """Note what is no JSON value: YAML also has dates, numbers without end and keys that are no text."""
    if isinstance(value, str):
        if problem := unstorable(value):
            place.wrong(f"{what} {problem}", *keys)
    elif isinstance(value, float):
        if not math.isfinite(value):
            place.wrong(f"{what} is {value}: a finite number is needed", *keys)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            check_text(key, f"a key of {what}", place, *keys, key)
            _check_json(item, f"{what}.{key}", place, *keys, key)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_json(item, f"{what}[{index}]", place, *keys, index)
    elif not (value is None or isinstance(value, (bool, int))):
        place.wrong(f"{what} is a {type(value).__name__}, which JSON does not have: quote it", *keys)


def check_step(value: Any, place: Place, *, may_be_named: bool = True) -> None:
    """Note what is wrong with a step: an event type, or a mapping with type (null: any event), props and name."""
    if isinstance(value, str):
        check_text(value, "the event type", place)
        return
    if not isinstance(value, Mapping):
        place.wrong(f"an event type is needed, or a mapping with type (null for any event), not {shown(value)}")
        return
    step = place.fields(value, required=(), optional=("name", "type", "props") if may_be_named else ("type", "props"))
    if step is None or "type" not in step:
        place.wrong("field 'type' is missing (null matches any event)")
        return
    if step["type"] is not None:
        check_text(step["type"], "type", place, "type")
    if step.get("name") is not None and may_be_named:
        check_text(step["name"], "name", place, "name")
    props = step.get("props")
    if props is None:
        return
    if not isinstance(props, Mapping):
        place.wrong(f"props must be a mapping of property to value, not {shown(props)}", "props")
    else:
        _check_json(props, "props", place, "props")


def check_steps(value: Any, place: Place, *, least: int) -> int:
    """Note what is wrong with a list of steps; returns how many there are, 0 when it is no list."""
    if not isinstance(value, list) or not least <= len(value) <= MAX_STEPS:
        what = f"{len(value)} steps" if isinstance(value, list) else shown(value)
        place.wrong(f"steps must be a list of {least} to {MAX_STEPS} steps, not {what}", "steps")
        return 0
    for index, step in enumerate(value):
        check_step(step, place.below("steps", index, name=f"step {index + 1}"))
    return len(value)


def check_window(value: Any, place: Place, rule: WindowRule) -> None:
    """Note a conversion window that is no whole number of seconds within the rule's limits."""
    if value is None and rule.optional:
        return
    whole = _is_whole(value) or (isinstance(value, float) and value.is_integer() and rule.optional)
    if not whole or not rule.least <= value <= rule.most:
        place.wrong(f"window_seconds is {shown(value)}: {rule.text}", "window_seconds")


def check_exclusions(value: Any, steps: int, place: Place) -> None:
    """Note what is wrong with exclusions ``[{type, from, to}]`` of a funnel with this many steps (0: unknown)."""
    if value is None:
        return
    if not isinstance(value, list):
        place.wrong(f"exclusions must be a list of mappings with type, from, to, not {shown(value)}", "exclusions")
        return
    for index, item in enumerate(value):
        at = place.below("exclusions", index, name=f"exclusion {index + 1}")
        exclusion = at.fields(item, required=("type", "from", "to"), optional=())
        if exclusion is None:
            continue
        if "type" in exclusion:
            check_text(exclusion["type"], "type", at, "type")
        ends = {key: exclusion[key] for key in ("from", "to") if key in exclusion}
        last = steps - 1 if steps else MAX_STEPS - 1
        for key, step in ends.items():
            if not _is_whole(step) or not 0 <= step <= last:
                at.wrong(f"{key} is {shown(step)}: the number of a step, 0 to {last}, is needed", key)
        if all(_is_whole(step) for step in ends.values()) and len(ends) == 2 and ends["from"] >= ends["to"]:
            at.wrong(f"from {ends['from']} is not before to {ends['to']}", "from")


def check_funnel_definition(funnel: Mapping[str, Any], place: Place, *, least_steps: int, window: WindowRule) -> None:
    """Note what is wrong with the fields that say what a funnel means; absent ones are the caller's to note."""
    steps = check_steps(funnel["steps"], place, least=least_steps) if "steps" in funnel else 0
    if "window_seconds" in funnel:
        check_window(funnel["window_seconds"], place, window)
    place.choice(funnel, "mode", get_args(Mode))
    check_exclusions(funnel.get("exclusions"), steps, place)


def step_of(value: Any) -> Step:
    """Return a checked step as the generator takes it."""
    return value if isinstance(value, str) else dict(value)


def funnel_of(funnel: Mapping[str, Any]) -> FunnelSpec:
    """Return a checked mapping as a funnel."""
    window = funnel["window_seconds"]
    return FunnelSpec(
        steps=tuple(step_of(step) for step in funnel["steps"]),
        window_seconds=None if window is None else int(window),
        mode=funnel.get("mode", "ordered"),
        exclusions=tuple(dict(exclusion) for exclusion in funnel.get("exclusions") or ()),
    )


def period_start(period: Period, day: date) -> date:
    """Return the first day of the period (ISO week, calendar month) that ``day`` is in."""
    if period == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == "month" else day


def periods_between(period: Period, first: date, last: date) -> int:
    """Return how many periods lie from the one that starts at ``first`` to the one at ``last``, both included."""
    if period == "month":
        return (last.year - first.year) * 12 + last.month - first.month + 1
    return (last - first).days // (7 if period == "week" else 1) + 1


def _day(value: Any, key: str, place: Place) -> date | None:
    # Other spellings that Python reads, such as 2026-W02-1, are nobody's intention here.
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    place.wrong(f"{key} is {shown(value)}: a day, YYYY-MM-DD, is needed", key)
    return None


def _check_range(value: Any, period: Period | None, place: Place) -> None:
    at = place.below("range", name="range")
    ends = at.fields(value, required=("first", "last"), optional=())
    if ends is None:
        return
    first, last = (_day(ends[key], key, at) if key in ends else None for key in ("first", "last"))
    if period is None:
        return
    for key, day in (("first", first), ("last", last)):
        if day is not None and (start := period_start(period, day)) != day:
            at.wrong(f"{key} is {day}, no start of a {period}: that one starts at {start}", key)
    if first is None or last is None:
        return
    if last < first:
        at.wrong(f"last ({last}) is before first ({first})", "last")
    elif (periods := periods_between(period, first, last)) > MAX_PERIODS:
        at.wrong(f"{periods} {period}s are too many: {MAX_PERIODS} at most", "last")


def check_retention(value: Any, place: Place, *, range_is_required: bool) -> None:
    """Note what is wrong with a specification of a retention matrix."""
    required = ("period", "kind", "target_event", "return_event")
    spec = place.fields(
        value,
        required=(*required, "range") if range_is_required else required,
        optional=() if range_is_required else ("range",),
    )
    if spec is None:
        return
    place.choice(spec, "period", get_args(Period))
    place.choice(spec, "kind", get_args(Kind))
    for key in ("target_event", "return_event"):
        if key in spec:
            check_step(spec[key], place.below(key, name=key), may_be_named=False)
    if "range" in spec:
        period = spec.get("period")
        _check_range(spec["range"], period if period in get_args(Period) else None, place)


def retention_of(spec: Mapping[str, Any]) -> RetentionSpec:
    """Return a checked mapping as a retention matrix."""
    ends: Sequence[date | None] = (None, None)
    if "range" in spec:
        ends = [date.fromisoformat(spec["range"][key]) for key in ("first", "last")]
    return RetentionSpec(
        period=spec["period"],
        kind=spec["kind"],
        target_event=step_of(spec["target_event"]),
        return_event=step_of(spec["return_event"]),
        first=ends[0],
        last=ends[1],
    )
