"""A report says what is not proven as plainly as what is, names no tenant, and fetches nothing."""

import json
import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from orchestration.proofs import evidence as report
from orchestration.proofs.evidence import CellEvidence, Evidence, Outcome, RuleEvidence
from orchestration.proofs.proof import SUITES
from orchestration.settings import Settings


def _cell(outcome: Outcome, offender: str = "public.stray") -> CellEvidence:
    rules = (
        RuleEvidence(
            "tenant_isolation", "relations_are_declared", "Every one", "Or else", "failed", ((offender, 2),), None
        ),
    )
    return CellEvidence("na", "North America", outcome, (), None, None, None, 1.0, None, rules, (), {})


def _evidence(*outcomes: Outcome) -> Evidence:
    return Evidence("2026-03-01T00:00:00+00:00", "0.1.0", dict.fromkeys(SUITES, "x"), tuple(map(_cell, outcomes)))


@pytest.mark.parametrize(
    ("outcomes", "outcome", "code"),
    [
        ((), "not proven", 2),
        (("proven",), "proven", 0),
        (("proven", "violated"), "violated", 1),
        (("violated", "not proven", "proven"), "not proven", 2),
    ],
)
def test_the_worst_cell_decides(outcomes: tuple[Outcome, ...], outcome: Outcome, code: int) -> None:
    evidence = _evidence(*outcomes)
    assert (evidence.outcome, evidence.exit_code) == (outcome, code)


def test_a_cell_that_does_not_answer_is_reported_as_not_proven(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", dsn_na=SecretStr("postgresql://postgres:s3cret@127.0.0.1:1/na"))
    evidence = report.gather(["na"], settings=settings)
    assert evidence.exit_code == 2
    [cell] = evidence.cells
    assert cell.outcome == "not proven"
    assert cell.reasons
    assert {rule.status for rule in cell.rules} == {"error"}
    written = report.write(evidence, tmp_path / "out")
    page = written.html.read_text()
    assert "not proven" in page
    assert "not asked" in page
    assert json.loads(written.json.read_text())["exit_code"] == 2
    assert "s3cret" not in page + written.json.read_text()


def test_a_page_fetches_nothing_and_escapes_names() -> None:
    evidence = Evidence(
        "2026-03-01T00:00:00+00:00", "0.1.0", {"tenant_isolation": "x"}, (_cell("violated", "<script>x"),)
    )
    page = report.as_html(evidence)
    assert re.search(r"src=|<link|url\(|@import|<script", page) is None
    assert "&lt;script&gt;x" in page


def test_objects_named_after_a_tenant_bear_a_mark() -> None:
    tenant = "0f" * 16
    marked = report.impersonal(f"t_{tenant}_saas.users, tenant_{tenant} (connect by app)")
    assert tenant not in marked
    schema, database = re.findall(r"#([0-9a-f]{8})", marked)
    assert schema == database
    assert report.impersonal("ecommerce.orders (app)") == "ecommerce.orders (app)"


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(report.EvidenceError, match="--out"):
        report.write(_evidence("proven"), taken / "below")
