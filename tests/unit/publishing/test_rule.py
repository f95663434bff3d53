"""The rule of disclosure: one entry that SQL and Python read, and no number that protects nobody."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.analysis.configuration import read_configuration
from orchestration.publishing.rule import RuleError, parse_rule, read_rule

GOOD: dict[str, Any] = {
    "k": 10,
    "tenants": 3,
    "dominance_percent": 10,
    "rounding": 5,
    "significant_digits": 3,
    "settlement_days": 2,
    "cohort_weeks": 12,
    "funnel": "purchase",
    "cohort": "first_purchase",
}


def test_the_projects_rule_can_be_used() -> None:
    rule = read_rule()
    assert rule.k >= 10
    assert rule.k % rule.rounding == 0


def test_what_is_published_is_configured_and_its_cohorts_are_disjoint() -> None:
    rule, configured = read_rule(), read_configuration()
    assert rule.funnel in {funnel.name for funnel in configured.funnels}
    assert rule.cohort in {cohort.name for cohort in configured.cohorts if cohort.kind == "first_time"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 4}, "k is 4: a whole number of at least 5"),
        ({"k": True}, "k is True"),
        ({"k": "10"}, "k is '10'"),
        ({"tenants": 2}, "tenants is 2: a whole number of at least 3"),
        ({"dominance_percent": 0}, "dominance_percent is 0"),
        ({"rounding": 3}, "k is 10, which is no multiple of rounding, 3"),
        ({"settlement_days": -1}, "settlement_days is -1"),
        ({"funnel": None}, "funnel is None"),
        ({"kk": 10}, "unknown entry kk"),
    ],
)
def test_a_rule_that_protects_nobody_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=f"vars: {message}"):
        parse_rule(GOOD | change, "vars")


def test_a_number_that_is_missing_is_no_default() -> None:
    with pytest.raises(RuleError, match="k is None"):
        parse_rule({name: value for name, value in GOOD.items() if name != "k"}, "vars")


def test_a_project_without_the_rule_publishes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "dbt_project.yml"
    file.write_text("name: x\n")
    with pytest.raises(RuleError, match="global_marts: a mapping is needed"):
        read_rule(file)
