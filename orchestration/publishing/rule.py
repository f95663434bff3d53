"""The rule of disclosure by which groups of persons may leave a cell, as ``dbt_project.yml`` has it.

SQL and Python read the same entry, so k is named once; here it is what rows are checked against at the border.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from orchestration.analysis.configuration import CONFIGURATION_FILE

VAR = "global_marts"

# Below these a number protects nobody; the macro disclosure_rule and the tables of database global have them too.
FEWEST: Mapping[str, int] = {
    "k": 5,
    "tenants": 3,
    "dominance_percent": 1,
    "rounding": 1,
    "significant_digits": 1,
    "settlement_days": 0,
    "cohort_weeks": 1,
}


class RuleError(ValueError):
    """The var ``global_marts`` is not usable; the message names the file, the entry and what is wrong."""


@dataclass(frozen=True)
class DisclosureRule:
    """What a published group is like.

    Attributes:
        k: fewest persons.
        tenants: fewest merchants.
        dominance_percent: p of the p% rule.
        rounding: counts are multiples of it.
        significant_digits: of amounts.
        settlement_days: from a period's end until it is closed.
        cohort_weeks: how many weeks later a cohort is still counted.
        funnel: the published funnel.
        cohort: the published cohort.
    """

    k: int
    tenants: int
    dominance_percent: int
    rounding: int
    significant_digits: int
    settlement_days: int
    cohort_weeks: int
    funnel: str
    cohort: str


def parse_rule(entry: Any, where: str) -> DisclosureRule:
    """Return the rule that ``entry``, of ``where``, says.

    Raises:
        RuleError: a number is missing or too small, or a name is unknown.
    """
    if not isinstance(entry, Mapping):
        raise RuleError(f"{where}: a mapping is needed")
    unknown = set(entry) - {field.name for field in fields(DisclosureRule)}
    if unknown:
        raise RuleError(f"{where}: unknown entry {', '.join(sorted(map(str, unknown)))}")
    for name, fewest in FEWEST.items():
        value = entry.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < fewest:
            raise RuleError(f"{where}: {name} is {value!r}: a whole number of at least {fewest} is needed")
    for name in ("funnel", "cohort"):
        if not isinstance(entry.get(name), str):
            raise RuleError(f"{where}: {name} is {entry.get(name)!r}: a configured name is needed")
    if entry["k"] % entry["rounding"]:
        raise RuleError(f"{where}: k is {entry['k']}, which is no multiple of rounding, {entry['rounding']}")
    return DisclosureRule(**entry)


def read_rule(path: Path = CONFIGURATION_FILE) -> DisclosureRule:
    """Return the rule of the project.

    Raises:
        RuleError: it is missing or has a mistake.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    variables = content.get("vars") if isinstance(content, dict) else None
    return parse_rule((variables or {}).get(VAR), f"{path}: vars: {VAR}")
