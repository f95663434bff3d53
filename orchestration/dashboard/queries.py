"""The dashboard's named queries: what each shows, from which relation, over which time, and what may be chosen.

A query is a file of ``sql/``, whose first line says what it shows. It runs as role ``app`` in a tenant's context, so
it names tenants' views and marts only and has no condition on the tenant. The ends of its time range are parameters
that the server sees as constants when it plans: chunks outside of the range are left out of the plan.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from orchestration.analysis.configuration import (
    CONFIGURATION_FILE,
    Configuration,
    ConfiguredFunnel,
    read_configuration,
)
from orchestration.analysis.funnel import step_name
from orchestration.analysis.render import FUNNEL, render
from orchestration.analysis.spec import unstorable

Name = Literal[
    "events_per_minute",
    "events_per_hour",
    "events_per_day",
    "top_pages",
    "top_pages_today",
    "active_users",
    "active_users_per_day",
    "device_split",
    "country_split",
    "funnel_today",
    "conversion_trend",
    "retention_glance",
    "event_trends",
]
NAMES: tuple[Name, ...] = get_args(Name)

Option = Literal["last", "event_type", "limit", "funnel", "cohort"]
Unit = Literal["minute", "hour", "day", "week"]

UNITS: dict[Unit, timedelta] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}

# Rows that a list of the most frequent may have: more is an export and no dashboard.
DEFAULT_LIMIT, MOST_LIMIT = 10, 1_000

# Of any calendar that a server and Python share; a week or a year around a moment must still be one.
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
_MONDAY = datetime(1970, 1, 5, tzinfo=UTC)

_SQL = Path(__file__).parent / "sql"


class DashboardError(ValueError):
    """There is no such query, or it cannot be asked like this; the message names what is possible."""


@dataclass(frozen=True)
class DashboardQuery:
    """A query of the dashboard.

    Attributes:
        name: also that of its file.
        sources: the relations that are read, that of most rows first.
        unit: of time, in which its range is given.
        running: whether the running unit is part of the range, its last; otherwise the range ends before it.
        last: units that the range has, unless told.
        most: units that it may have; a range that cannot be chosen has ``last`` and no option of that name.
        options: what may be chosen.
    """

    name: Name
    sources: tuple[str, ...]
    unit: Unit
    last: int
    most: int
    options: tuple[Option, ...] = ()
    running: bool = True

    @property
    def description(self) -> str:
        """What it shows, in a sentence."""
        return _text(self.name).partition("\n")[0].removeprefix("-- ")


def _query(
    name: Name, sources: str, unit: Unit, last: int, most: int, *options: Option, running: bool = True
) -> DashboardQuery:
    options = ("last", *options) if most > last else options
    return DashboardQuery(name, tuple(sources.split()), unit, last, most, options, running)


# Complete days from the days; the running one from its hours, or where users are told apart from its events.
_DAYS = "analytics.tenant_events_daily analytics.tenant_events_hourly"
_USER_DAYS = "analytics.tenant_user_days analytics.tenant_events"

QUERIES: dict[Name, DashboardQuery] = {
    query.name: query
    for query in (
        # Minutes are of no rollup; those of an hour are a few pages of one chunk.
        _query("events_per_minute", "analytics.tenant_events", "minute", 60, 1_440, "event_type"),
        _query("events_per_hour", "analytics.tenant_events_hourly", "hour", 48, 24 * 31, "event_type"),
        _query("events_per_day", _DAYS, "day", 30, 366, "event_type"),
        # Without the running day, whose pages are asked of its hours: it is a query of its own.
        _query("top_pages", "analytics.tenant_page_views_daily", "day", 30, 366, "limit", running=False),
        _query("top_pages_today", "analytics.tenant_page_users_hourly", "day", 1, 1, "limit"),
        _query("active_users", _USER_DAYS, "day", 30, 30),
        _query("active_users_per_day", _USER_DAYS, "day", 30, 366),
        _query("device_split", _DAYS, "day", 30, 366, "event_type"),
        _query("country_split", _DAYS, "day", 30, 366, "event_type"),
        _query("funnel_today", "analytics.tenant_events", "day", 1, 1, "funnel"),
        _query("conversion_trend", "marts.fct_funnel_conversion", "day", 30, 366, "funnel"),
        _query("retention_glance", "marts.fct_cohort_retention", "week", 8, 53, "cohort"),
        _query("event_trends", "marts.fct_event_trends", "day", 1, 1, "event_type"),
    )
}


@dataclass(frozen=True)
class Question:
    """A query and what was chosen; None is the query's own choice.

    Attributes:
        name: of the query.
        at: the moment as of which it is asked, with a zone; now, unless given.
        last: units of time that the range has.
        event_type: count only events of this type.
        limit: rows of a list of the most frequent.
        funnel: name of a configured funnel; the first one, unless given.
        cohort: name of a configured cohort with weeks; the first one, unless given.
    """

    name: str
    at: datetime | None = None
    last: int | None = None
    event_type: str | None = None
    limit: int | None = None
    funnel: str | None = None
    cohort: str | None = None


@dataclass(frozen=True)
class Statement:
    """What is sent to the server: a query's text and parameters, and the range that it covers, [start, stop)."""

    query: DashboardQuery
    text: bytes
    parameters: Mapping[str, Any]
    start: datetime
    stop: datetime


@cache
def _text(name: str) -> str:
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _configuration_of(changed_ns: int) -> Configuration:  # noqa: ARG001 -- the key: an edited file is read again
    return read_configuration()


def _configuration() -> Configuration:
    # Read and checked once: reading YAML takes longer than most of the queries.
    return _configuration_of(CONFIGURATION_FILE.stat().st_mtime_ns)


def find(name: str) -> DashboardQuery:
    """Return the query of this name.

    Raises:
        DashboardError: there is none.
    """
    for query in QUERIES.values():
        if query.name == name:
            return query
    raise DashboardError(f"no dashboard query {name!r}: there is {', '.join(NAMES)}")


def statement(question: Question) -> Statement:
    """Return the statement that answers ``question``.

    Raises:
        DashboardError: the question cannot be asked.
        ConfigurationError: the configuration of funnels and cohorts has mistakes.
    """
    query = find(question.name)
    _check(query, question)
    start, stop = _range(query, question)
    # The last unit's start is sent as well: the server's sum of a time and an interval is none of a plan's constants.
    parameters: dict[str, Any] = {"start": start, "stop": stop, "running": stop - UNITS[query.unit]}
    if "event_type" in query.options:
        parameters["event_type"] = question.event_type
    if "limit" in query.options:
        parameters["limit"] = question.limit or DEFAULT_LIMIT
    text = _text(query.name)
    if query.name == "funnel_today":
        funnel = _funnel(question.funnel)
        # Paths that began today may go on tomorrow: as of an earlier day the answer is fct_funnel's row.
        parameters["stop"] = stop + timedelta(seconds=funnel.funnel.window_seconds or 0)
        text = _funnel_text(text, funnel, start.date())
    elif "funnel" in query.options:
        parameters["funnel"] = _funnel(question.funnel).name
    elif "cohort" in query.options:
        parameters["cohort"] = _cohort(question.cohort)
    return Statement(query, text.encode(), parameters, start, stop)


def _check(query: DashboardQuery, question: Question) -> None:
    for option in get_args(Option):
        if getattr(question, option) is not None and option not in query.options:
            allowed = f"it has {', '.join(query.options)}" if query.options else "it has none"
            raise DashboardError(f"{query.name} has no option {option}: {allowed}")
    if question.limit is not None and not 1 <= question.limit <= MOST_LIMIT:
        raise DashboardError(f"limit is {question.limit}: 1 to {MOST_LIMIT} is possible")
    if question.last is not None and not 1 <= question.last <= query.most:
        raise DashboardError(f"{query.name} of the last {question.last} {query.unit}s: 1 to {query.most} is possible")
    if question.event_type is not None and (why := unstorable(question.event_type)):
        raise DashboardError(f"no event has this type: it {why}")


def _range(query: DashboardQuery, question: Question) -> tuple[datetime, datetime]:
    at = question.at or datetime.now(UTC)
    if at.tzinfo is None:
        raise DashboardError(f"at is {at.isoformat()}, without a zone: give one, as in {at.isoformat()}Z")
    at = at.astimezone(UTC)
    if not _EARLIEST <= at <= _LATEST:
        raise DashboardError(f"at is of the year {at.year}: {_EARLIEST.year} to {_LATEST.year} is possible")
    unit = UNITS[query.unit]
    # Counted from a Monday, so that weeks begin where those of the marts do.
    stop = _MONDAY + ((at - _MONDAY) // unit + query.running) * unit
    return stop - (question.last or query.last) * unit, stop


def _funnel(name: str | None) -> ConfiguredFunnel:
    funnels = _configuration().funnels
    for funnel in funnels:
        if name is None or funnel.name == name:
            return funnel
    raise DashboardError(f"no funnel {name!r} is configured: there is {', '.join(each.name for each in funnels)}")


def _cohort(name: str | None) -> str:
    weekly = [cohort.name for cohort in _configuration().cohorts if "week" in cohort.periods]
    if not weekly:
        raise DashboardError("no configured cohort has weeks: add week to the periods of one in dbt_project.yml")
    if name is None:
        return weekly[0]
    if name not in weekly:
        raise DashboardError(f"no cohort {name!r} with weeks is configured: there is {', '.join(weekly)}")
    return name


def _funnel_text(text: str, funnel: ConfiguredFunnel, day: date) -> str:
    """Return the funnel's query, of the marts' own generator; nothing in it was typed by whoever asks."""
    spec = funnel.funnel
    steps = render(
        FUNNEL,
        "funnel_steps",
        steps=list(spec.steps),
        window_seconds=spec.window_seconds,
        events="asked_events",
        first_day=f"date '{day.isoformat()}'",
        last_day=f"date '{day.isoformat()}'",
        mode=spec.mode,
        exclusions=list(spec.exclusions),
    )
    names = ", ".join(render(FUNNEL, "funnel_literal", text=step_name(step)) for step in spec.steps)
    generated = {"{{ steps }}": steps, "{{ step_names }}": f"array[{names}]"}
    for mark, sql in generated.items():
        # A per cent sign of the configuration's is itself and no parameter.
        text = text.replace(mark, sql.replace("%", "%%"))
    return text
