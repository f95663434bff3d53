"""docs/isolation.md and docs/residency.md list the rules as the suites have them."""

import pytest

from orchestration.proofs.proof import SUITES_DIRECTORY
from orchestration.quality.suite import load_suite
from orchestration.settings import PROJECT_ROOT


@pytest.mark.parametrize(
    ("page_name", "suite"), [("isolation.md", "tenant_isolation"), ("residency.md", "geo_residency")]
)
def test_the_page_lists_every_rule_as_the_suite_says_it_in_its_order(page_name: str, suite: str) -> None:
    page = (PROJECT_ROOT / "docs" / page_name).read_text()
    listed = page.split("<!-- rules: begin -->")[1].split("<!-- rules: end -->")[0].strip().splitlines()[2:]
    rules = load_suite(SUITES_DIRECTORY / suite).rules
    assert listed == [f"| `{rule.id}` | {rule.description} | {rule.why} |" for rule in rules]
