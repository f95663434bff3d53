"""A retention matrix asked of events: the marts' own generator, over any file or any tenant's events."""

from dataclasses import replace
from datetime import date

from orchestration.analysis.event_source import Breakdown, EventSource, first_touches
from orchestration.analysis.render import COHORT, FUNNEL, render
from orchestration.analysis.spec import MAX_PERIODS, RetentionSpec, Step, period_start, periods_between

# Cohort's first day -> users at offset 0, 1, 2 …
Matrix = dict[date, list[int]]


class RetentionError(ValueError):
    """The matrix cannot be made; the message says why and what to give instead."""


def matrix_as_json(matrix: Matrix) -> dict[str, list[int]]:
    """Return what the cases call ``expected``."""
    return {cohort.isoformat(): counts for cohort, counts in matrix.items()}


def within(spec: RetentionSpec, first: date, last: date) -> RetentionSpec:
    """Return ``spec`` with the range of the periods that hold these days.

    Raises:
        RetentionError: that many periods are no matrix anybody reads.
    """
    periods = periods_between(spec.period, period_start(spec.period, first), period_start(spec.period, last))
    if periods > MAX_PERIODS:
        raise RetentionError(
            f"{first} to {last} are {periods} {spec.period}s, {MAX_PERIODS} at most: "
            "choose days by --from and --to, or longer periods"
        )
    return replace(spec, first=period_start(spec.period, first), last=period_start(spec.period, last))


def retained_days(source: EventSource) -> tuple[date, date] | None:
    """Return the first and last day (UTC) with an event, None without events."""
    ((first, last),) = source.rows(
        "select (min(occurred_at) at time zone 'UTC')::date, (max(occurred_at) at time zone 'UTC')::date"
        " from asked_events"
    )
    return None if first is None else (first, last)


def _events(step: Step, group: str, source: str) -> str:
    predicate = render(FUNNEL, "funnel_step_predicate", step=step)
    return f"(select {group} as tenant_id, user_id, occurred_at from {source} where {predicate})"  # noqa: S608 -- rendered


def _query(spec: RetentionSpec, *, group: str, groups: str, source: str) -> str:
    if spec.first is None or spec.last is None:
        raise RetentionError("the specification has no range: give one, or days")
    periods = f"date '{spec.first.isoformat()}' as first_period, date '{spec.last.isoformat()}' as last_period"
    matrix = render(
        COHORT,
        "cohort_retention",
        kind=spec.kind,
        period=spec.period,
        targets=_events(spec.target_event, group, source),
        returns=_events(spec.return_event, group, source),
        ranges=f"(select {group} as tenant_id, {periods} from {groups} as g)",  # noqa: S608 -- days and own names
    )
    return f"select tenant_id, cohort, period_offset, users from {matrix} as r"  # noqa: S608 -- rendered


def ask_retention(source: EventSource, spec: RetentionSpec) -> Matrix:
    """Return the matrix; cohorts without users are left out."""
    found: Matrix = {}
    tenant = f"(select '{source.tenant}'::uuid as tenant_id)"
    query = _query(spec, group="tenant_id", groups=tenant, source="asked_events")
    for _, cohort, _, users in sorted(source.rows(query)):
        found.setdefault(cohort, []).append(users)
    return found


def ask_retention_by(source: EventSource, spec: RetentionSpec, breakdown: Breakdown) -> dict[str, Matrix]:
    """Return the matrix for each value of the users' first touch."""
    # The generator keeps tenants apart and asks nothing else of them. A user has one first touch, so its value can
    # stand in the tenant's place.
    found: dict[str, Matrix] = {}
    joined = "asked_events inner join first_touches using (tenant_id, user_id)"
    values = "(select distinct breakdown_value from first_touches)"
    query = _query(spec, group="breakdown_value", groups=values, source=joined)
    for value, cohort, _, users in sorted(source.rows(query, first_touches(breakdown))):
        found.setdefault(value, {}).setdefault(cohort, []).append(users)
    return found
