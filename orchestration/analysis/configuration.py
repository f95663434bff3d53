"""The funnels and cohorts that are configured in ``dbt_project.yml``, checked before anything runs.

dbt itself would find a mistake only when it compiles the first model that reads it, name no line, and show the first
mistake only. Here all of them are found in a few milliseconds, each with its line.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml

from orchestration.analysis.mistakes import Mistake, Place, shown
from orchestration.analysis.spec import (
    FunnelSpec,
    Kind,
    Period,
    Step,
    WindowRule,
    check_funnel_definition,
    check_step,
    check_text,
    funnel_of,
    step_of,
)
from orchestration.settings import PROJECT_ROOT

CONFIGURATION_FILE = PROJECT_ROOT / "dbt_project" / "dbt_project.yml"

# A day's run refreshes as many days before it as the longest window has: a month at most.
CONFIGURED_WINDOW = WindowRule(1, 2_592_000, optional=False, text="whole seconds from 1 to 2592000 (30 days)")
MIN_CONFIGURED_STEPS = 2
COHORT_KINDS: tuple[Kind, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


class ConfigurationError(ValueError):
    """The configuration of funnels and cohorts has mistakes; the message lists each with its file and line."""


@dataclass(frozen=True)
class ConfiguredFunnel:
    """One entry of the var ``funnels``."""

    name: str
    description: str
    funnel: FunnelSpec


@dataclass(frozen=True)
class ConfiguredCohort:
    """One entry of the var ``cohorts``."""

    name: str
    description: str
    kind: Kind
    target_event: Step
    return_event: Step
    periods: tuple[Period, ...]


@dataclass(frozen=True)
class Configuration:
    """What is configured, in the order of the file."""

    funnels: tuple[ConfiguredFunnel, ...]
    cohorts: tuple[ConfiguredCohort, ...]


def _name_of(entry: Any, kind: str, index: int) -> str:
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return f"{kind} '{name}'" if isinstance(name, str) and name else f"{kind} {index + 1}"


def _check_entry_name(entry: Mapping[str, Any], place: Place) -> None:
    if "name" in entry and not (isinstance(entry["name"], str) and _NAME.fullmatch(entry["name"])):
        place.wrong(
            f"name is {shown(entry['name'])}: lower case letters, digits and underscores, at most 63, a letter first",
            "name",
        )
    if entry.get("description") is not None:
        check_text(entry["description"], "description", place, "description")


def _check_funnel(entry: Any, place: Place) -> None:
    funnel = place.fields(
        entry, required=("name", "window_seconds", "steps"), optional=("description", "mode", "exclusions")
    )
    if funnel is not None:
        _check_entry_name(funnel, place)
        check_funnel_definition(funnel, place, least_steps=MIN_CONFIGURED_STEPS, window=CONFIGURED_WINDOW)


def _check_cohort(entry: Any, place: Place) -> None:
    cohort = place.fields(
        entry, required=("name", "kind", "target_event", "return_event", "periods"), optional=("description",)
    )
    if cohort is None:
        return
    _check_entry_name(cohort, place)
    place.choice(cohort, "kind", COHORT_KINDS)
    for key in ("target_event", "return_event"):
        if key in cohort:
            check_step(cohort[key], place.below(key, name=key), may_be_named=False)
    if "periods" in cohort:
        _check_periods(cohort["periods"], place)


def _check_periods(periods: Any, place: Place) -> None:
    allowed = ", ".join(get_args(Period))
    if not isinstance(periods, list) or not periods:
        place.wrong(f"periods is {shown(periods)}: a list of {allowed}, each at most once, is needed", "periods")
        return
    for index, period in enumerate(periods):
        if not isinstance(period, str) or period not in get_args(Period):
            place.wrong(f"period {shown(period)} is none of {allowed}", "periods", index)
        elif period in periods[:index]:
            place.wrong(f"period '{period}' is listed twice", "periods", index)


def _check(variables: Mapping[str, Any], place: Place) -> None:
    for key, kind, check in (("funnels", "funnel", _check_funnel), ("cohorts", "cohort", _check_cohort)):
        entries = variables.get(key)
        if not isinstance(entries, list) or not entries:
            place.wrong(f"var {key} is {shown(entries)}: a list of at least one {kind} is needed", key)
            continue
        first_with: dict[Any, int] = {}
        for index, entry in enumerate(entries):
            at = place.below(key, index, name=_name_of(entry, kind, index))
            check(entry, at)
            name = entry.get("name") if isinstance(entry, Mapping) else None
            if isinstance(name, str) and first_with.setdefault(name, index) != index:
                at.wrong(f"another {kind} has this name: names are keys of the mart's rows", "name")


def _duplicate_keys(node: yaml.Node, seen: set[int]) -> list[tuple[int, str]]:
    """Return (line, key) of every key that a mapping gives twice; a YAML reader takes the last without a word."""
    if id(node) in seen:
        return []
    seen.add(id(node))
    found: list[tuple[int, str]] = []
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys and key.tag != "tag:yaml.org,2002:merge":
                    found.append((key.start_mark.line + 1, key.value))
                keys.add(key.value)
            found += _duplicate_keys(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _duplicate_keys(item, seen)
    return found


def _line(root: yaml.Node, path: tuple[str | int, ...]) -> int:
    """Return the line of what ``path`` leads to, or of the last part of the way that is there."""
    node, line = root, root.start_mark.line
    for key in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            node = node.value[key]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            # The key's own line: a value may begin on the next one.
            entry = next(((k, v) for k, v in reversed(node.value) if k.value == str(key)), None)
            if entry is None:
                break
            line, node = entry[0].start_mark.line, entry[1]
        else:
            break
    return line + 1


def _shown_path(path: Path) -> str:
    return str(path.relative_to(PROJECT_ROOT)) if path.is_relative_to(PROJECT_ROOT) else str(path)


def _error(name: str, mistakes: list[tuple[int, str]]) -> ConfigurationError:
    return ConfigurationError("\n".join(f"{name}:{line}: {text}" for line, text in sorted(mistakes)))


def _read(path: Path) -> tuple[yaml.Node, Any]:
    name = _shown_path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigurationError(f"{name}:{line}: not UTF-8") from None
    try:
        root, content = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise _error(name, [(mark.line + 1 if mark else 1, f"not YAML: {what}")]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A character that YAML forbids, or a date such as 2026-13-01.
        raise ConfigurationError(f"{name}: not YAML: {str(error).partition(chr(10))[0]}") from None
    if not isinstance(content, dict) or not isinstance(content.get("vars"), dict):
        raise ConfigurationError(f"{name}:1: vars with funnels and cohorts are missing")
    assert root is not None  # noqa: S101 -- a document with content has a node
    return root, content["vars"]


def read_configuration(path: Path | None = None) -> Configuration:
    """Return the configured funnels and cohorts, of the project's own file when ``path`` is None.

    Raises:
        ConfigurationError: lists every mistake as ``file:line: place: what is wrong``.
    """
    path = path or CONFIGURATION_FILE
    root, variables = _read(path)
    mistakes: list[tuple[int, str]] = [
        (line, f"'{key}' is given twice in one mapping") for line, key in _duplicate_keys(root, set())
    ]
    found: list[Mistake] = []
    _check(variables, Place(found, ("vars",)))
    mistakes += [(_line(root, mistake.path), str(mistake)) for mistake in found]
    if mistakes:
        raise _error(_shown_path(path), mistakes)
    return Configuration(
        funnels=tuple(
            ConfiguredFunnel(entry["name"], entry.get("description") or "", funnel_of(entry))
            for entry in variables["funnels"]
        ),
        cohorts=tuple(
            ConfiguredCohort(
                name=entry["name"],
                description=entry.get("description") or "",
                kind=entry["kind"],
                target_event=step_of(entry["target_event"]),
                return_event=step_of(entry["return_event"]),
                periods=tuple(entry["periods"]),
            )
            for entry in variables["cohorts"]
        ),
    )
