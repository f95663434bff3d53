"""The pictures on the asset pages."""

import base64
from datetime import date

from orchestration.defs.transform.figures import CohortCell, FunnelStep, cohort_picture, funnel_picture

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
        CohortCell(date(1997, 2, 1), 0, 8476),
    ]
    assert _picture(cohort_picture(cells, "na")).startswith(PNG)


def test_one_cohort_of_one_period_is_drawn() -> None:
    assert _picture(cohort_picture([CohortCell(date(2026, 3, 1), 0, 1)], "eu")).startswith(PNG)
