"""A suite as files: ``suite.yml`` says what is ruled and why, ``<rule id>.sql`` beside it returns the offenders.

::

    name: tenant_isolation
    title: Tenant isolation
    given:                      # optional: named subqueries that every rule may select from
      declared: ../declared.sql
    rules:
      - id: relations_are_declared
        description: Every relation is declared
        why: A relation that nobody declared is protected by nobody
        precondition: false     # optional: true where an offender means that nothing was proven

A rule is one query with the columns ``object`` (text: the name of what offends) and ``offenders`` (bigint: how many);
no row means that the rule holds. Nothing else of the query ever leaves the database, so a rule cannot put anyone's
values into a result.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SUITE_FILE = "suite.yml"
EVIDENCE_COLUMNS = ("object", "offenders")

_NAME = re.compile(r"[a-z][a-z0-9_]*")


class SuiteError(ValueError):
    """A suite cannot be read or would prove nothing; the message names the file and the entry."""


@dataclass(frozen=True)
class Rule:
    """One rule: its query returns the offenders, by name and count.

    Where a ``precondition`` is broken, the suite is not violated: it has not been proven.
    """

    id: str
    description: str
    why: str
    sql: str
    precondition: bool = False


@dataclass(frozen=True)
class Suite:
    """Rules that are validated together, and the named subqueries (name, SQL) they may select from."""

    name: str
    title: str
    rules: tuple[Rule, ...]
    given: tuple[tuple[str, str], ...] = ()

    def query(self, rule: Rule) -> str:
        """Return the whole query of ``rule``: the given subqueries, and of the rule only the columns of evidence."""
        given = ",\n".join(f"{name} as (\n{sql}\n)" for name, sql in self.given)
        prefix = f"with {given}\n" if given else ""
        return f"{prefix}select {', '.join(EVIDENCE_COLUMNS)} from (\n{rule.sql}\n) as rule_{rule.id}"  # noqa: S608


def load_suite(directory: Path) -> Suite:
    """Return the suite that lives in ``directory``.

    Raises:
        SuiteError: a file is missing, damaged or belongs to no rule, an id repeats, or there is no rule at all.
    """
    path = directory / SUITE_FILE
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise SuiteError(f"{path} does not exist: a suite is a directory with a {SUITE_FILE}") from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise SuiteError(f"{path} must be a mapping with name, title and rules")
    name = _text(content, "name", path)
    if not _NAME.fullmatch(name):
        raise SuiteError(f"{path}: name {name!r} must be lower case letters, digits and underscores")
    given = tuple((str(key), _sql(directory / str(file), path)) for key, file in (content.get("given") or {}).items())
    rules = tuple(_rule(entry, directory, path) for entry in content.get("rules") or ())
    if not rules:
        raise SuiteError(f"{path} has no rules: it would prove nothing")
    ids = [rule.id for rule in rules]
    for repeated in sorted({i for i in ids if ids.count(i) > 1}):
        raise SuiteError(f"{path}: rule {repeated!r} is listed twice")
    listed = {f"{i}.sql" for i in ids} | {str(file) for file in (content.get("given") or {}).values()}
    for stray in sorted(file.name for file in directory.glob("*.sql") if file.name not in listed):
        raise SuiteError(f"{directory / stray} belongs to no rule of {path}: list it there, or remove it")
    return Suite(name=name, title=_text(content, "title", path), rules=rules, given=given)


def _rule(entry: Any, directory: Path, path: Path) -> Rule:
    if not isinstance(entry, dict):
        raise SuiteError(f"{path}: rule {entry!r} must be a mapping with id, description and why")
    rule_id = _text(entry, "id", path)
    if not _NAME.fullmatch(rule_id):
        raise SuiteError(f"{path}: rule {rule_id!r} must be lower case letters, digits and underscores")
    return Rule(
        id=rule_id,
        description=_text(entry, "description", path),
        why=_text(entry, "why", path),
        sql=_sql(directory / f"{rule_id}.sql", path),
        precondition=entry.get("precondition") is True,
    )


def _sql(file: Path, suite: Path) -> str:
    try:
        sql = file.read_text().strip().rstrip(";").strip()
    except FileNotFoundError:
        raise SuiteError(f"{suite} names {file.name}, which does not exist: write it, or remove the entry") from None
    if not sql:
        raise SuiteError(f"{file} is empty: it would find no offender, ever")
    return sql


def _text(content: dict[str, Any], key: str, path: Path) -> str:
    value = content.get(key)
    if not isinstance(value, str) or not value.strip():
        raise SuiteError(f"{path}: {key!r} is missing in {content.get('id') or 'the suite'}")
    return " ".join(value.split())
