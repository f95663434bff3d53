"""How much is generated, and for which days: the scales, and the window of days that this platform fills.

A platform's scale and first day are fixed when it is first filled and kept in ``platform.json`` in its state
directory: what a partition holds must not depend on the day on which somebody materializes it again.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import cast, get_args

from orchestration.settings import Scale, Settings, get_settings


class WindowError(ValueError):
    """The platform's window, or days asked of it, cannot be used; the message says why and the way out."""


class EmptyPartitionRangeError(WindowError):
    """No day was selected. Loading nothing would report success, so it is an error."""


@dataclass(frozen=True)
class ScaleSize:
    """How much one scale generates, in all cells together.

    Attributes:
        tenants: number of tenants.
        days: length of the window that is filled at first.
        events: events in those days; later days go on at the rate reached.
    """

    tenants: int
    days: int
    events: int


SCALES: dict[Scale, ScaleSize] = {
    "small": ScaleSize(tenants=50, days=30, events=1_000_000),
    "medium": ScaleSize(tenants=1_000, days=90, events=10_000_000),
    "large": ScaleSize(tenants=10_000, days=365, events=50_000_000),
}


@dataclass(frozen=True)
class Window:
    """What this platform was first filled with.

    Attributes:
        scale: small, medium or large.
        first_day: the first daily partition; nothing exists before it.
    """

    scale: Scale
    first_day: date

    @property
    def size(self) -> ScaleSize:
        return SCALES[self.scale]


def window_file(settings: Settings) -> Path:
    """Return the file that holds the platform's scale and first day."""
    return settings.home / "platform.json"


def _damaged(path: Path, reason: str) -> WindowError:
    return WindowError(
        f'{path} is damaged ({reason}): it must read {{"scale": "small", "first_day": "YYYY-MM-DD"}}; '
        "restore it, or `capstone down --destroy` and `capstone up`"
    )


def read_window(settings: Settings | None = None) -> Window:
    """Return the platform's window.

    Raises:
        WindowError: the platform was never filled, or the file is damaged.
    """
    path = window_file(settings or get_settings())
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise WindowError(f"{path} does not exist: this home has no platform yet, run `capstone up`") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise _damaged(path, "no JSON") from None
    if not isinstance(content, dict) or content.get("scale") not in get_args(Scale):
        raise _damaged(path, f"scale must be one of {', '.join(get_args(Scale))}")
    try:
        first_day = date.fromisoformat(str(content.get("first_day")))
    except ValueError:
        raise _damaged(path, "first_day must be a date") from None
    return Window(cast(Scale, content["scale"]), first_day)


def establish_window(settings: Settings | None = None, *, today: date | None = None) -> Window:
    """Return the platform's window, fixing it now if this home has none; of two processes at once, one fixes it.

    Args:
        settings: ``scale`` unset means what the home has, or small.
        today: the day after the window's last; today in UTC unless given.

    Raises:
        WindowError: the home was filled at another scale than the settings ask for, or its file is damaged.
    """
    settings = settings or get_settings()
    path = window_file(settings)
    if not path.exists():
        scale: Scale = settings.scale or "small"
        first_day = (today or datetime.now(UTC).date()) - timedelta(days=SCALES[scale].days)
        settings.home.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(Window(scale, first_day)), default=str) + "\n")
        try:
            # A link, unlike a rename, fails when the other process was first.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink(missing_ok=True)
    window = read_window(settings)
    if settings.scale is not None and settings.scale != window.scale:
        raise WindowError(
            f"this home was filled at scale {window.scale!r} and CAPSTONE_SCALE asks for {settings.scale!r}: "
            "use another CAPSTONE_HOME, or `capstone down --destroy` first"
        )
    return window


def require_days(days: Iterable[date], first_day: date) -> tuple[date, ...]:
    """Return the days in order, each once.

    Raises:
        EmptyPartitionRangeError: there is none.
        WindowError: a day lies before the platform's first.
    """
    chosen = tuple(sorted(set(days)))
    if not chosen:
        raise EmptyPartitionRangeError("no day is selected: name at least one daily partition")
    if chosen[0] < first_day:
        raise WindowError(f"{chosen[0]} lies before the platform's first day, {first_day}: choose a later day")
    return chosen


def day_range(first: date, last: date) -> Sequence[date]:
    """Return the days from ``first`` to ``last``, both included.

    Raises:
        EmptyPartitionRangeError: ``last`` lies before ``first``.
    """
    if last < first:
        raise EmptyPartitionRangeError(f"the range {first} … {last} is inverted: its first day must come first")
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Return the first instant of ``day`` in UTC and the first after it."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def share_out(total: int, shares: Sequence[float]) -> list[int]:
    """Split ``total`` by ``shares``, which add up to 1, so that the parts add up to it exactly."""
    edges = [0]
    running = 0.0
    for share in shares:
        running += share
        edges.append(round(total * running))
    edges[-1] = total
    return [after - before for before, after in pairwise(edges)]
