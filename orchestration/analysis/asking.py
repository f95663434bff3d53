"""What `capstone funnel` and `capstone retention` do: options to a question, a question to an answer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast, get_args

from orchestration.analysis import funnel as funnels
from orchestration.analysis import retention as retentions
from orchestration.analysis.configuration import read_configuration
from orchestration.analysis.event_source import (
    BREAKDOWNS,
    Breakdown,
    EventSource,
    events_of_file,
    events_of_tenant,
    first_local_cell,
)
from orchestration.analysis.events_file import Rejections
from orchestration.analysis.funnel import FunnelResult
from orchestration.analysis.retention import Matrix
from orchestration.analysis.spec import FunnelSpec, Period, RetentionSpec
from orchestration.analysis.spec_file import read_funnel_spec, read_retention_spec
from orchestration.cells.regions import Cell
from orchestration.settings import Settings

Warn = Callable[[str], None]


class QuestionError(ValueError):
    """Options that do not fit together or name nothing; the message says what is needed."""


class Days(Protocol):
    """The days from ``first`` to ``last``, both included."""

    @property
    def first(self) -> date: ...

    @property
    def last(self) -> date: ...


@dataclass(frozen=True)
class Question:
    """Whose events are asked: those of a file, or those of a tenant in its cell, as they are or as dbt keeps them."""

    file: Path | None
    tenant: str | None
    cell: Cell | None
    days: Days | None = None
    breakdown: str | None = None
    skip_rejected: bool = False
    kept: bool = False

    def __post_init__(self) -> None:
        """Fail on options that do not fit together.

        Raises:
            QuestionError: says which.
        """
        if (self.file is None) == (self.tenant is None):
            raise QuestionError("give --events FILE, or --tenant and --cell for the platform's own events")
        if self.tenant is None:
            if self.days or self.breakdown or self.kept:
                raise QuestionError("--from, --to, --breakdown and --kept go with --tenant, and not with a file")
        elif self.cell is None:
            raise QuestionError("--tenant needs --cell: a tenant lives in one cell, and none is the default")
        elif self.skip_rejected:
            raise QuestionError("--skip-rejected goes with --events")
        if self.breakdown is not None and self.breakdown not in BREAKDOWNS:
            raise QuestionError(f"unknown breakdown {self.breakdown!r}: one of {', '.join(BREAKDOWNS)} is needed")


Part = TypeVar("Part")


@dataclass(frozen=True)
class Answer(Generic[Part]):
    """An answer: ``whole``, or ``parts`` by the value of ``breakdown``.

    Attributes:
        whole: for all users; None when broken down.
        breakdown: of which the keys of ``parts`` are values; None when not broken down.
        parts: per value.
        part_as_json: how a part is written.
        names: of a funnel's steps.
    """

    whole: Part | None
    breakdown: str | None
    parts: dict[str, Part]
    part_as_json: Callable[[Part], Any]
    names: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return what --json prints."""
        if self.whole is not None:
            return cast("dict[str, Any]", self.part_as_json(self.whole))
        values = {value: self.part_as_json(part) for value, part in self.parts.items()}
        return {"breakdown": self.breakdown, "values": values}


@contextmanager
def _source(question: Question, settings: Settings, warn: Warn) -> Iterator[EventSource]:
    if question.file is None:
        assert question.tenant is not None  # noqa: S101 -- the question was checked
        assert question.cell is not None  # noqa: S101
        with events_of_tenant(question.tenant, question.cell, settings=settings) as source:
            yield source
        return
    rejections = Rejections()
    cell = question.cell or first_local_cell(settings)
    with events_of_file(
        question.file, cell, rejections, skip_rejected=question.skip_rejected, settings=settings
    ) as source:
        if rejections.count:
            warn(f"{rejections.count} lines are left out:\n{rejections.listed(question.file)}")
        yield source


def _one_of(spec: Path | None, name: str | None, option: str) -> None:
    if (spec is None) == (name is None):
        raise QuestionError(f"give --spec FILE or {option} NAME, one of them")


def _funnel_spec(spec: Path | None, name: str | None) -> FunnelSpec:
    _one_of(spec, name, "--funnel")
    if spec is not None:
        return read_funnel_spec(spec)
    configured = {each.name: each.funnel for each in read_configuration().funnels}
    if name not in configured:
        raise QuestionError(f"no funnel {name!r} is configured: there is {', '.join(configured)}")
    return configured[name]


def funnel(
    question: Question, spec: Path | None, name: str | None, settings: Settings, *, warn: Warn
) -> Answer[FunnelResult]:
    """Return a funnel, one result per user over the whole range.

    Raises:
        QuestionError, SpecError, ConfigurationError, EventsFileError, EventSourceError, CellUnavailableError: each
            says what is wrong and what is needed.
    """
    wanted = _funnel_spec(spec, name)
    first, last = (question.days.first, question.days.last) if question.days else (None, None)
    names = tuple(funnels.step_name(step) for step in wanted.steps)
    if question.kept and not funnels.reads_sequences(wanted):
        raise QuestionError(
            "--kept needs steps that are event types, mode ordered and no exclusions: leave it out, the events have all"
        )
    with _source(question, settings, warn) as source:
        if question.breakdown is None:
            whole = funnels.ask_funnel(source, wanted, first=first, last=last, kept=question.kept)
            return Answer(whole, None, {}, FunnelResult.as_json, names)
        breakdown = cast(Breakdown, question.breakdown)
        parts = funnels.ask_funnel_by(source, wanted, breakdown, first=first, last=last, kept=question.kept)
        return Answer(None, breakdown, parts, FunnelResult.as_json, names)


def _configured_cohort(name: str | None, period: str | None) -> RetentionSpec:
    configured = {each.name: each for each in read_configuration().cohorts}
    cohort = configured.get(name or "")
    if cohort is None:
        raise QuestionError(f"no cohort {name!r} is configured: there is {', '.join(configured)}")
    chosen = period or cohort.periods[0]
    if chosen not in get_args(Period):
        raise QuestionError(f"unknown period {chosen!r}: one of {', '.join(get_args(Period))} is needed")
    return RetentionSpec(cast(Period, chosen), cohort.kind, cohort.target_event, cohort.return_event)


def _retention_spec(question: Question, spec: Path | None, name: str | None, period: str | None) -> RetentionSpec:
    _one_of(spec, name, "--cohort")
    if spec is None:
        if question.file is not None:
            raise QuestionError("--cohort goes with --tenant: over a file, give --spec with a range")
        return _configured_cohort(name, period)
    if period is not None:
        raise QuestionError("--period goes with --cohort: a specification names its own")
    wanted = read_retention_spec(spec, range_is_required=question.file is not None)
    if wanted.first is not None and question.days is not None:
        raise QuestionError("the specification has a range: give that, or --from and --to")
    return wanted


def retention(
    question: Question, spec: Path | None, name: str | None, period: str | None, settings: Settings, *, warn: Warn
) -> Answer[Matrix]:
    """Return a retention matrix, by default over all periods with events.

    Raises:
        QuestionError, SpecError, ConfigurationError, EventsFileError, EventSourceError, CellUnavailableError,
            RetentionError: each says what is wrong and what is needed.
    """
    wanted = _retention_spec(question, spec, name, period)
    if question.days is not None:
        wanted = retentions.within(wanted, question.days.first, question.days.last)
    with _source(question, settings, warn) as source:
        if wanted.first is None:
            retained = retentions.retained_days(source)
            if retained is None:
                empty: Matrix = {}
                return Answer(None if question.breakdown else empty, question.breakdown, {}, retentions.matrix_as_json)
            wanted = retentions.within(wanted, *retained)
        if question.breakdown is None:
            return Answer(retentions.ask_retention(source, wanted), None, {}, retentions.matrix_as_json)
        breakdown = cast(Breakdown, question.breakdown)
        parts = retentions.ask_retention_by(source, wanted, breakdown)
        return Answer(None, breakdown, parts, retentions.matrix_as_json)
