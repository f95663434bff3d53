"""The pictures on the asset pages."""

import base64
from datetime import date

from orchestration.defs.transform.figures import (
    CohortCell,
    ConversionDay,
    FunnelStep,
    Transition,
    cohort_picture,
    conversion_picture,
    funnel_picture,
    transitions_table,
)

PNG = b"\x89PNG"


def _picture(markdown: str) -> bytes:
    return base64.b64decode(markdown.split("base64,")[1].rstrip(")"))


def test_a_funnel_is_drawn_step_by_step() -> None:
    steps = [FunnelStep("purchase", 1, "product_view", 100), FunnelStep("purchase", 2, "purchase", 7)]
    assert _picture(funnel_picture(steps, "na: 2026-03-01")).startswith(PNG)


def test_a_funnel_that_nobody_entered_is_drawn_too() -> None:
    steps = [FunnelStep("purchase", 1, "product_view", 0), FunnelStep("purchase", 2, "purchase", 0)]
    assert _picture(funnel_picture(steps, "na")).startswith(PNG)


def test_cohorts_are_drawn_with_what_is_not_over_left_white() -> None:
    cells = [
        CohortCell(date(1997, 1, 1), 0, 7846),
        CohortCell(date(1997, 1, 1), 1, 1157),
        CohortCell(date(1997, 2, 1), 0, 8476, is_complete=False),
    ]
    assert _picture(cohort_picture(cells, "na")).startswith(PNG)


def test_one_cohort_of_one_period_is_drawn() -> None:
    assert _picture(cohort_picture([CohortCell(date(2026, 3, 1), 0, 1)], "eu")).startswith(PNG)


def test_conversion_is_drawn_over_time_whether_or_not_days_are_complete() -> None:
    days = [
        ConversionDay("purchase", date(2026, 3, 1), 100, 7, True),
        ConversionDay("purchase", date(2026, 3, 2), 100, 5, False),
        ConversionDay("short", date(2026, 3, 2), 10, 5, False),
    ]
    assert _picture(conversion_picture(days, "na")).startswith(PNG)


def test_transitions_are_a_table() -> None:
    table = transitions_table([Transition("(entry)", "page_view", 1234)])
    assert table.splitlines() == ["| from | to | transitions |", "|---|---|--:|", "| (entry) | page_view | 1,234 |"]
