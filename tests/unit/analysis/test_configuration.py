"""Every mistake in the configuration of funnels and cohorts is named with its line, before anything runs."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from orchestration import cli
from orchestration.analysis.configuration import ConfigurationError, read_configuration
from orchestration.settings import Settings

GOOD = """\
name: capstone
vars:
  start_day: null
  funnels:
    - name: buy
      window_seconds: 60
      mode: strict
      steps:
        - a
        - type: null
        - {name: pro, type: b, props: {plan: pro, seats: 3, tags: [x], trial: false, why: null}}
      exclusions:
        - {type: refund, from: 0, to: 2}
  cohorts:
    - name: buyers
      kind: recurring
      target_event: {type: purchase, props: {plan: pro}}
      return_event: purchase
      periods: [day, month]
"""


def _file(folder: Path, text: str) -> Path:
    path = folder / "dbt_project.yml"
    path.write_text(text)
    return path


def test_the_shipped_configuration_has_the_cohorts_and_funnels_of_the_marts() -> None:
    configured = read_configuration()
    assert [funnel.name for funnel in configured.funnels] == ["purchase", "visit_to_purchase"]
    assert [(cohort.name, cohort.kind) for cohort in configured.cohorts] == [
        ("first_purchase", "first_time"),
        ("returning_buyers", "recurring"),
    ]


def test_all_that_can_be_said_is_read(tmp_path: Path) -> None:
    configured = read_configuration(_file(tmp_path, GOOD))
    funnel = configured.funnels[0].funnel
    assert (funnel.mode, funnel.window_seconds) == ("strict", 60)
    assert funnel.steps[1] == {"type": None}
    assert funnel.exclusions == ({"type": "refund", "from": 0, "to": 2},)
    assert configured.cohorts[0].periods == ("day", "month")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- type: null", "- typ: null", ":10: funnel 'buy', step 2: unknown field 'typ' (allowed: name, type, props)"),
        ("- type: null", "- typ: null", ":10: funnel 'buy', step 2: field 'type' is missing"),
        ("      mode: strict", "      mod: strict", ":7: funnel 'buy': unknown field 'mod' (allowed: name, "),
        ("      mode: strict", "      mode: sloppy", ":7: funnel 'buy': mode is 'sloppy': one of ordered, strict"),
        ("      window_seconds: 60\n", "", ":5: funnel 'buy': field 'window_seconds' is missing"),
        ("window_seconds: 60", "window_seconds: -1", ":6: funnel 'buy': window_seconds is -1: whole seconds from 1"),
        ("window_seconds: 60", "window_seconds: 2592001", ":6: funnel 'buy': window_seconds is 2592001"),
        ("window_seconds: 60", "window_seconds: 60.0", ":6: funnel 'buy': window_seconds is 60.0"),
        ("window_seconds: 60", "window_seconds: true", ":6: funnel 'buy': window_seconds is true"),
        ("window_seconds: 60", "window_seconds: a day", ":6: funnel 'buy': window_seconds is 'a day'"),
        ("window_seconds: 60", "window_seconds: null", ":6: funnel 'buy': window_seconds is null"),
        ("        - a\n", "        - ''\n", ":9: funnel 'buy', step 1: the event type is empty"),
        ("        - a\n", "        - 7\n", ":9: funnel 'buy', step 1: an event type is needed"),
        ("        - a\n", "        - yes\n", "not true"),
        ("{name: pro, type: b,", "{name: pro, type: 7,", ":11: funnel 'buy', step 3: type must be a text, not 7"),
        ("tags: [x]", "tags: [2026-01-01]", ":11: funnel 'buy', step 3: props.tags[0] is a date"),
        ("seats: 3", "seats: .nan", ":11: funnel 'buy', step 3: props.seats is nan"),
        ("seats: 3", "3: seats", ":11: funnel 'buy', step 3: a key of props must be a text, not 3"),
        ("to: 2}", "to: 3}", ":13: funnel 'buy', exclusion 1: to is 3: the number of a step, 0 to 2, is needed"),
        ("from: 0, to: 2", "from: 2, to: 1", ":13: funnel 'buy', exclusion 1: from 2 is not before to 1"),
        ("from: 0, to: 2", "from: -1, to: 1", ":13: funnel 'buy', exclusion 1: from is -1"),
        ("from: 0, to: 2", "from: 0", ":13: funnel 'buy', exclusion 1: field 'to' is missing"),
        ("{type: refund, ", "{type: null, ", ":13: funnel 'buy', exclusion 1: type must be a text, not null"),
        ("    - name: buy\n", "    - name: No Spaces\n", ":5: funnel 'No Spaces': name is 'No Spaces'"),
        ("    - name: buyers", "    - nam: buyers", ":15: cohort 1: unknown field 'nam'"),
        (
            "kind: recurring",
            "kind: once",
            ":16: cohort 'buyers': kind is 'once': one of first_time, recurring, rolling",
        ),
        ("[day, month]", "[day, year]", ":19: cohort 'buyers': period 'year' is none of day, week, month"),
        ("[day, month]", "[day, day]", ":19: cohort 'buyers': period 'day' is listed twice"),
        ("[day, month]", "[]", ":19: cohort 'buyers': periods is []"),
        ("[day, month]", "day", ":19: cohort 'buyers': periods is 'day'"),
        ("return_event: purchase", "return_event: ''", ":18: cohort 'buyers', return_event: the event type is empty"),
        ("{type: purchase, ", "{name: x, type: purchase, ", ":17: cohort 'buyers', target_event: unknown field 'name'"),
        ("      kind: recurring", "      kind: recurring\n      kind: recurring", ":17: 'kind' is given twice"),
        ("  start_day: null", "  start_day: null\n  start_day: null", ":4: 'start_day' is given twice"),
        ("steps:\n        - a\n", "steps:\n        - a: [\n", ":10: not YAML"),
        ("name: capstone", "name: [capstone", "not YAML"),
        ("vars:", "var:", "vars with funnels and cohorts are missing"),
        ("  cohorts:", "  cohort:", "var cohorts is null: a list of at least one cohort is needed"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = _file(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigurationError, match=re.escape(message)) as told:
        read_configuration(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("steps", ["[]", "[a]", "ab", "null", "{a: b}", f"[{', '.join('abcdefghijklm')}]"])
def test_a_funnel_has_2_to_12_steps(tmp_path: Path, steps: str) -> None:
    before, after = GOOD.partition("      steps:\n")[::2]
    text = f"{before}      steps: {steps}\n{after[after.index('      exclusions') :]}"
    with pytest.raises(ConfigurationError, match=r":8: funnel 'buy': steps must be a list of 2 to 12 steps, not "):
        read_configuration(_file(tmp_path, text))


def test_names_are_given_once_each(tmp_path: Path) -> None:
    second = "    - {name: buy, window_seconds: 1, steps: [a, b]}\n"
    text = GOOD.replace("  cohorts:", second + "  cohorts:")
    with pytest.raises(ConfigurationError, match=r":14: funnel 'buy': another funnel has this name"):
        read_configuration(_file(tmp_path, text))


def test_all_mistakes_are_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("periods: [day, month]", "periods: []").replace("- a\n", "- ''\n").replace("60", "-60")
    with pytest.raises(ConfigurationError) as told:
        read_configuration(_file(tmp_path, text))
    assert [int(line.split(":")[1]) for line in str(told.value).splitlines()] == [6, 9, 19]


def test_lines_are_found_through_anchors_and_merges(tmp_path: Path) -> None:
    text = GOOD.replace("    - name: buyers\n", "    - &base\n      name: buyers\n")
    text += "    - <<: *base\n      name: others\n      kind: once\n"
    with pytest.raises(ConfigurationError, match=r":23: cohort 'others': kind is 'once'"):
        read_configuration(_file(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_configuration(tmp_path / "none.yml")
    (tmp_path / "dbt_project.yml").write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(ConfigurationError, match=":2: not UTF-8"):
        read_configuration(tmp_path / "dbt_project.yml")


@pytest.fixture
def mistaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The configuration has a mistake; returns what every message about it must hold."""
    path = _file(tmp_path, GOOD.replace("60", "-60"))
    monkeypatch.setattr("orchestration.analysis.configuration.CONFIGURATION_FILE", path)
    return f"{path}:6: funnel 'buy': window_seconds is -60"


def test_a_dagster_run_fails_with_it_before_dbt_starts_and_is_not_retried(
    mistaken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dagster as dg

    from orchestration.defs.transform import invocation

    monkeypatch.setattr(invocation, "subprocess_environment", lambda *_: pytest.fail("dbt was about to start"))
    with pytest.raises(dg.Failure) as told:
        invocation.run_dbt("na", ["build"])
    assert mistaken in str(told.value.description)
    assert told.value.allow_retries is False


def test_up_starts_nothing(mistaken: str, tmp_path: Path) -> None:
    from orchestration.lifecycle.console import ConsoleReporter
    from orchestration.lifecycle.start import up

    home = tmp_path / "home"
    with pytest.raises(ConfigurationError, match=re.escape(mistaken)):
        up(Settings(home=home), ConsoleReporter(Console()))
    assert not home.exists()


def test_materialize_launches_nothing(mistaken: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["materialize", "na/marts/fct_funnel"])
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert mistaken in told
    assert "Traceback" not in told


def test_doctor_has_a_finding(mistaken: str, tmp_path: Path) -> None:
    from orchestration.engines.doctor import diagnose

    found = {finding.name: finding for finding in diagnose(Settings(home=tmp_path / "home"))}["funnels and cohorts"]
    assert not found.ok
    assert mistaken in found.detail
    assert found.mend


def test_the_projects_own_file_is_named_as_in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestration.analysis.configuration.COHORT_KINDS", ("first_time",))
    with pytest.raises(ConfigurationError, match=r"^dbt_project/dbt_project.yml:\d+: cohort 'returning_buyers': kind"):
        read_configuration()
