"""docs/isolation.md lists the rules as the suite has them."""

from orchestration.proofs.proof import SUITES_DIRECTORY
from orchestration.quality.suite import load_suite
from orchestration.settings import PROJECT_ROOT


def test_the_page_lists_every_rule_as_the_suite_says_it_in_its_order() -> None:
    page = (PROJECT_ROOT / "docs" / "isolation.md").read_text()
    listed = page.split("<!-- rules: begin -->")[1].split("<!-- rules: end -->")[0].strip().splitlines()[2:]
    rules = load_suite(SUITES_DIRECTORY / "tenant_isolation").rules
    assert listed == [f"| `{rule.id}` | {rule.description} | {rule.why} |" for rule in rules]
