"""Funnels and cohorts as configured: a mistake is an error that names it, before anything runs."""

import re
from types import SimpleNamespace
from typing import Any, NoReturn

import jinja2
import pytest
import yaml

from orchestration.cells.shell_environment import DBT_PROJECT_DIR

GOOD = {"name": "f", "window_seconds": 60, "steps": ["a", "b"]}
COHORT = {"name": "c", "kind": "first_time", "target_event": "a", "return_event": "b", "periods": ["day"]}
CONFIGURED = yaml.safe_load((DBT_PROJECT_DIR / "dbt_project.yml").read_text())["vars"]


class CompilerError(Exception):
    pass


def _raise(message: str) -> NoReturn:
    raise CompilerError(message)


def check(file: str, macro: str, **variables: Any) -> None:
    """Run a checking macro as dbt does, with its few functions stood in for."""
    environment = jinja2.Environment(extensions=["jinja2.ext.do"], autoescape=False)  # noqa: S701 -- it is SQL
    environment.globals |= {
        "var": variables.__getitem__,
        "return": lambda value: value,
        "exceptions": SimpleNamespace(raise_compiler_error=_raise),
        "modules": SimpleNamespace(re=re),
    }
    # In dbt every macro knows all others; cohorts check their events as funnels do their steps.
    files = dict.fromkeys(("funnel/configured_funnels.sql", file))
    template = environment.from_string("\n".join((DBT_PROJECT_DIR / "macros" / each).read_text() for each in files))
    getattr(template.module, macro)()


def funnels(*configured: Any) -> None:
    check("funnel/configured_funnels.sql", "configured_funnels", funnels=list(configured))


def cohorts(*configured: Any) -> None:
    check("cohort/configured_cohorts.sql", "configured_cohorts", cohorts=list(configured))


def test_what_is_configured_is_right() -> None:
    funnels(*CONFIGURED["funnels"])
    cohorts(*CONFIGURED["cohorts"])


def test_steps_may_have_names_properties_and_any_type() -> None:
    funnels(GOOD | {"steps": ["a", {"type": None}, {"name": "pro", "type": "b", "props": {"plan": "pro"}}]})


def test_a_funnel_may_be_strict_and_exclude_events() -> None:
    funnels(GOOD | {"mode": "strict", "exclusions": [{"type": "x", "from": 0, "to": 1}]})


@pytest.mark.parametrize(
    ("funnel", "message"),
    [
        (GOOD | {"mod": "strict"}, "funnel 1: unknown field 'mod'"),
        (GOOD | {"name": "No Spaces"}, "name 'No Spaces'"),
        (GOOD | {"window_seconds": -1}, "funnel 'f': window_seconds is -1"),
        (GOOD | {"window_seconds": 2592001}, "window_seconds is 2592001"),
        (GOOD | {"window_seconds": 1.5}, "window_seconds is 1.5"),
        (GOOD | {"window_seconds": True}, "window_seconds is True"),
        ({"name": "f", "steps": ["a", "b"]}, "window_seconds is None"),
        (GOOD | {"steps": []}, "2 to 12 steps"),
        (GOOD | {"steps": "ab"}, "2 to 12 steps"),
        (GOOD | {"steps": ["a"] * 13}, "2 to 12 steps"),
        (GOOD | {"steps": ["a", ""]}, "funnel 'f', step 2 is empty"),
        (GOOD | {"steps": ["a", {"props": {}}]}, "step 2: an event type is needed"),
        (GOOD | {"steps": ["a", {"type": "b", "filter": {}}]}, "step 2: unknown field 'filter'"),
        (GOOD | {"steps": ["a", {"type": 7}]}, "step 2: type must be a text"),
        (GOOD | {"steps": ["a", {"type": "b", "props": ["x"]}]}, "step 2: props must be a mapping"),
        ("purchase", "funnel 1 is no mapping"),
        (GOOD | {"mode": "sloppy"}, "funnel 'f': mode is 'sloppy'"),
        (GOOD | {"exclusions": "x"}, "funnel 'f': exclusions must be a list"),
        (GOOD | {"exclusions": ["x"]}, "funnel 'f', exclusion 1 is no mapping"),
        (GOOD | {"exclusions": [{"type": "x", "from": 0, "too": 1}]}, "exclusion 1: unknown field 'too'"),
        (GOOD | {"exclusions": [{"type": None, "from": 0, "to": 1}]}, "exclusion 1: type must be a text"),
        (GOOD | {"exclusions": [{"type": "x", "from": 0, "to": 2}]}, "exclusion 1: to is 2"),
        (GOOD | {"exclusions": [{"type": "x", "from": True, "to": 1}]}, "exclusion 1: from is True"),
        (GOOD | {"exclusions": [{"type": "x", "from": 1, "to": 1}]}, "exclusion 1: from must be before to"),
    ],
)
def test_a_mistake_in_a_funnel_names_it(funnel: Any, message: str) -> None:
    with pytest.raises(CompilerError, match=re.escape(message)):
        funnels(funnel)


def test_a_name_is_used_once() -> None:
    with pytest.raises(CompilerError, match="configured twice"):
        funnels(GOOD, GOOD)


def test_no_funnels_are_a_mistake() -> None:
    with pytest.raises(CompilerError, match="at least one funnel"):
        funnels()


@pytest.mark.parametrize(
    ("cohort", "message"),
    [
        ("purchase", "cohort 1 is no mapping"),
        (COHORT | {"period": "day"}, "cohort 1: unknown field 'period'"),
        (COHORT | {"name": "No Spaces"}, "name 'No Spaces'"),
        (COHORT | {"kind": "sometimes"}, "cohort 'c': kind is 'sometimes'"),
        (COHORT | {"periods": []}, "cohort 'c': periods must be a list"),
        (COHORT | {"periods": "day"}, "cohort 'c': periods must be a list"),
        (COHORT | {"periods": ["day", "day"]}, "cohort 'c': periods must be a list"),
        (COHORT | {"periods": ["year"]}, "cohort 'c': period 'year'"),
        (COHORT | {"target_event": ""}, "cohort 'c', target_event is empty"),
        (COHORT | {"return_event": {"type": "b", "filter": {}}}, "return_event: unknown field 'filter'"),
        ({key: value for key, value in COHORT.items() if key != "return_event"}, "return_event is missing"),
    ],
)
def test_a_mistake_in_a_cohort_names_it(cohort: Any, message: str) -> None:
    with pytest.raises(CompilerError, match=re.escape(message)):
        cohorts(cohort)


def test_a_cohorts_name_is_used_once() -> None:
    with pytest.raises(CompilerError, match="configured twice"):
        cohorts(COHORT, COHORT)


def test_no_cohorts_are_a_mistake() -> None:
    with pytest.raises(CompilerError, match="at least one cohort"):
        cohorts()
