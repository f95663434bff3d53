"""A suite read from files: what is missing, damaged or would prove nothing is an error that names it."""

from pathlib import Path

import pytest

from orchestration.quality.suite import Rule, Suite, SuiteError, load_suite

GOOD = """
name: demo
title: Demo
given: {known: ../known.sql}
rules:
  - {id: first, description: The first, why: because}
  - {id: second, description: The second, why: because, precondition: true}
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    suite = tmp_path / "demo"
    suite.mkdir()
    (tmp_path / "known.sql").write_text("select 1 as one;\n")
    (suite / "suite.yml").write_text(GOOD)
    (suite / "first.sql").write_text("select 'x' as object, 1 as offenders ;\n")
    (suite / "second.sql").write_text("select 'y' as object, 2 as offenders")
    return suite


def test_a_suite_is_read_with_its_rules_in_order(directory: Path) -> None:
    suite = load_suite(directory)
    assert (suite.name, suite.title) == ("demo", "Demo")
    assert [(rule.id, rule.precondition) for rule in suite.rules] == [("first", False), ("second", True)]
    assert suite.given == (("known", "select 1 as one"),)


def test_only_the_columns_of_evidence_leave_the_database() -> None:
    rule = Rule("leaky", "Leaky", "", "select 'x' as object, 1 as offenders, email from people")
    query = Suite("demo", "Demo", (rule,), (("known", "select 1 as one"),)).query(rule)
    assert query.startswith("with known as (\nselect 1 as one\n)\nselect object, offenders from (")


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("suite.yml", "name: demo\ntitle: Demo\nrules: []\n", "no rules"),
        ("suite.yml", "name: [\n", "not YAML"),
        ("suite.yml", "just text\n", "must be a mapping"),
        ("suite.yml", "name: demo\ntitle: Demo\nrules: [first]\n", "must be a mapping"),
        ("suite.yml", "title: Demo\nrules: []\n", "'name' is missing"),
        ("suite.yml", "name: 'Robert; drop'\ntitle: x\nrules: []\n", "lower case"),
        ("suite.yml", GOOD + "  - {id: first, description: Again, why: because}\n", "'first' is listed twice"),
        ("suite.yml", GOOD + "  - {id: third, description: Third, why: because}\n", "third.sql, which does not exist"),
        ("suite.yml", GOOD.replace("why: because}", "why: ''}", 1), "'why' is missing in first"),
        ("first.sql", "  \n", "is empty"),
        ("stray.sql", "select 1", "belongs to no rule"),
    ],
)
def test_a_damaged_suite_is_an_error_that_names_what_is_wrong(
    directory: Path, file: str, content: str, told: str
) -> None:
    (directory / file).write_text(content)
    with pytest.raises(SuiteError, match=told):
        load_suite(directory)


def test_a_directory_without_a_suite_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="does not exist"):
        load_suite(tmp_path)
