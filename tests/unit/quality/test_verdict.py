"""How rules' answers become a verdict and an asset check result: fail closed, names and counts only."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import dagster as dg
import pytest

from orchestration.quality import validation
from orchestration.quality.asset_check import asset_check_result, describe
from orchestration.quality.suite import Suite, SuiteError
from orchestration.quality.validation import Offender, RuleResult, Status, SuiteResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _result(*statuses: str, offenders: tuple[Offender, ...] = ()) -> SuiteResult:
    rules = tuple(
        RuleResult(
            f"rule_{number}",
            "A rule",
            cast(Status, status),
            offenders if status in ("failed", "unproven") else (),
            len(offenders),
            "DivisionByZero" if status == "error" else None,
        )
        for number, status in enumerate(statuses)
    )
    return SuiteResult("demo", "Demo", rules, NOW, NOW + timedelta(seconds=2))


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ((), "error"),
        (("passed", "passed"), "green"),
        (("passed", "failed"), "red"),
        (("failed", "error"), "error"),
        (("passed", "unproven"), "error"),
        (("failed", "unproven"), "red"),
    ],
)
def test_only_a_suite_whose_rules_were_all_asked_and_hold_is_green(statuses: tuple[str, ...], verdict: str) -> None:
    assert _result(*statuses).verdict == verdict
    assert asset_check_result(_result(*statuses)).passed is (verdict == "green")


def _answer(**fields: object) -> SimpleNamespace:
    return SimpleNamespace(**{"exception_info": {"raised_exception": False}, "success": True, "result": {}, **fields})


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (None, "error", "no answer"),
        (_answer(success=None), "error", "no verdict"),
        # Great Expectations keeps the exception inside of what may look like a success.
        (
            _answer(
                exception_info={"metric": {"raised_exception": True, "exception_message": "(x.DataError) 'a@b.c'"}}
            ),
            "error",
            "DataError",
        ),
        (
            _answer(
                exception_info={"raised_exception": True, "exception_message": "(psycopg.errors.UndefinedTable) t\n"}
            ),
            "error",
            "UndefinedTable: t",
        ),
        (_answer(exception_info={"raised_exception": True, "exception_message": None}), "error", "exception"),
        (
            _answer(success=True, result={"observed_value": 1, "details": {"unexpected_rows": [{"object": "x"}]}}),
            "error",
            "the answer contradicts itself",
        ),
        (
            _answer(success=False, result={"observed_value": "?", "details": {"unexpected_rows": []}}),
            "error",
            "the answer contradicts itself",
        ),
        (_answer(success=True, result={"observed_value": 0, "details": {"unexpected_rows": []}}), "passed", None),
    ],
)
def test_whatever_is_no_clear_answer_is_an_error(answer: object, status: str, error: str | None) -> None:
    result = validation._rule_result("rule", "A rule", answer)
    assert (result.status, result.error) == (status, error)


def test_a_row_counts_as_an_offender_whatever_number_it_gives() -> None:
    rows = [{"object": "a", "offenders": None}, {"object": "b", "offenders": 0}, {"object": "c", "offenders": 7}]
    answer = _answer(success=False, result={"observed_value": 3, "details": {"unexpected_rows": rows}})
    result = validation._rule_result("rule", "A rule", answer)
    assert [(o.object, o.count) for o in result.offenders] == [("a", 1), ("b", 1), ("c", 7)]


def test_a_suite_without_rules_is_an_error_and_no_success() -> None:
    with pytest.raises(SuiteError, match="would prove nothing"):
        validation._expectations(SimpleNamespace(), Suite("demo", "Demo", ()))


def test_plain_sql_survives_both_templating_languages() -> None:
    assert validation._escaped("select '{}'::jsonb, ':a', x[1:2]") == r"select '{{}}'::jsonb, '\:a', x[1:2]"


def test_the_check_result_shows_names_counts_and_errors_in_tables() -> None:
    result = asset_check_result(
        _result("passed", "failed", "error", offenders=(Offender("public.stray", 3),)),
        asset_key="orders",
        check_name="demo",
        docs_url="http://localhost/page.html",
    )
    offenders = result.metadata["offenders"]
    assert isinstance(offenders, dg.TableMetadataValue)
    assert [dict(record.data) for record in offenders.records] == [
        {"rule": "rule_1", "object": "public.stray", "count": 3}
    ]
    expectations = result.metadata["expectations"]
    assert isinstance(expectations, dg.TableMetadataValue)
    assert [record.data["status"] for record in expectations.records] == ["passed", "failed", "error"]
    assert result.metadata["data_docs"].value == "http://localhost/page.html"
    assert result.metadata["verdict"].value == "not proven"
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.description == "Demo: not proven; rule_2: DivisionByZero; rule_1: public.stray (3)"


def test_a_long_list_of_offenders_is_cut_in_the_description_not_in_the_table() -> None:
    many = tuple(Offender(f"public.t{number}", 1) for number in range(8))
    assert describe(_result("failed", offenders=many)).endswith("and 3 more")
