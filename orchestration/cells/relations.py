"""The declared relations of a cell: what each table and view is, whose rows it holds, and what is personal in it.

Discovery by a column that someone may have forgotten is not enough, so every relation is declared in
``sql/relations.yml``; proofs, residency, erasure and export go by this list.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal, get_args

import yaml

from orchestration.settings import PROJECT_ROOT

RELATIONS_FILE = PROJECT_ROOT / "sql" / "relations.yml"

Kind = Literal["tenant", "person", "global", "aggregate", "internal"]
Relkind = Literal["table", "hypertable", "view", "continuous_aggregate"]
Privilege = Literal["select", "insert", "update", "delete"]
Edition = Literal["apache", "community"]
PersonalClass = Literal["direct", "person", "account", "pseudonym", "quasi"]

# Classes that say or lead to who it is. What is left, a trait, singles somebody out in combination only.
IDENTIFYING: frozenset[PersonalClass] = frozenset({"direct", "person", "account", "pseudonym"})

# Schemas whose relations dbt builds: declared like all others, but there only after its first run.
DBT_SCHEMAS = ("staging", "intermediate", "marts")

_NAME = re.compile(r"[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*")
_COLUMN = re.compile(r"[a-z_][a-z0-9_]*")
_KEYS = frozenset({"name", "kind", "relkind", "tenant_column", "over", "personal", "app"})
_LINE = "\0line"


class RelationsError(ValueError):
    """``relations.yml`` is not usable; the message names the line, the entry and what is wrong."""


@dataclass(frozen=True)
class Relation:
    """One declared relation.

    Attributes:
        name: ``schema.relation``.
        kind: whose rows it holds.
        relkind: what it is in the database, on the edition that was asked for.
        tenant_column: for kind tenant the column that names the tenant, else None.
        personal: columns that are about a person or lead to one, each with its class.
        app: privileges of role ``app``; empty for none.
        over: for a tenants' view the relation whose rows it shows, else None.
        line: line of the declaration.
    """

    name: str
    kind: Kind
    relkind: Relkind
    tenant_column: str | None
    personal: Mapping[str, PersonalClass]
    app: tuple[Privilege, ...]
    over: str | None
    line: int

    @property
    def schema(self) -> str:
        return self.name.split(".")[0]

    @property
    def table(self) -> str:
        return self.name.split(".")[1]

    @property
    def built_by_dbt(self) -> bool:
        return self.schema in DBT_SCHEMAS

    @property
    def identifying(self) -> tuple[str, ...]:
        """The personal columns that say or lead to who it is."""
        return tuple(column for column, personal in self.personal.items() if personal in IDENTIFYING)


class _LineLoader(yaml.SafeLoader):
    """A YAML loader that keeps the line of every mapping and refuses a key that is given twice."""


def _mapping_with_line(loader: _LineLoader, node: yaml.MappingNode) -> dict[object, object]:
    mapping: dict[object, object] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in mapping:
            raise RelationsError(f"line {key_node.start_mark.line + 1}: {key!r} is given twice")
        mapping[key] = loader.construct_object(value_node, deep=True)
    mapping[_LINE] = node.start_mark.line + 1
    return mapping


_LineLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_with_line)


def _choice(entry: Mapping[object, object], key: str, allowed: tuple[str, ...]) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or value not in allowed:
        raise RelationsError(f"{key} is {value!r}: one of {', '.join(allowed)} is needed")
    return value


def _names(entry: Mapping[object, object], key: str) -> tuple[str, ...]:
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and _COLUMN.fullmatch(item) for item in value):
        raise RelationsError(f"{key} is {value!r}: a list of names is needed")
    if len(set(value)) < len(value):
        raise RelationsError(f"{key} names something twice: {', '.join(value)}")
    return tuple(value)


def _personal(entry: Mapping[object, object]) -> Mapping[str, PersonalClass]:
    value = entry.get("personal", {})
    known = get_args(PersonalClass)
    if not isinstance(value, dict):
        raise RelationsError(f"personal is {value!r}: a class per column is needed, as {{email: direct}}")
    classes = {column: name for column, name in value.items() if column != _LINE}
    for column, name in classes.items():
        if not isinstance(column, str) or not _COLUMN.fullmatch(column):
            raise RelationsError(f"personal names {column!r}: the name of a column is needed")
        if name not in known:
            raise RelationsError(f"personal column {column} is of class {name!r}: one of {', '.join(known)} is needed")
    return MappingProxyType(classes)


def _relkind(entry: Mapping[object, object], edition: Edition) -> str | None:
    value = entry.get("relkind")
    if not isinstance(value, dict):
        return _choice(entry, "relkind", get_args(Relkind))
    if set(value) - {_LINE} != set(get_args(Edition)):
        raise RelationsError("relkind per edition needs exactly the keys apache and community")
    for each in get_args(Edition):
        if value[each] is not None:
            _choice({"relkind": value[each]}, "relkind", get_args(Relkind))
    if all(value[each] is None for each in get_args(Edition)):
        raise RelationsError("relkind is null on both editions: on one of them the relation must be there")
    return None if value[edition] is None else str(value[edition])


def _relation(entry: Mapping[object, object], edition: Edition) -> Relation | None:
    unknown = {str(key) for key in entry} - _KEYS - {_LINE}
    if unknown:
        raise RelationsError(f"unknown key {', '.join(sorted(unknown))}: known are {', '.join(sorted(_KEYS))}")
    kind = _choice(entry, "kind", get_args(Kind))
    relkind = _relkind(entry, edition)
    if "app" not in entry:
        raise RelationsError("app is missing: [] when role app has no privilege")
    app = _names(entry, "app")
    if set(app) - set(get_args(Privilege)):
        raise RelationsError(f"app is {list(app)}: only {', '.join(get_args(Privilege))} can be given to it")
    tenant_column = entry.get("tenant_column")
    if (kind == "tenant") != isinstance(tenant_column, str):
        raise RelationsError("tenant_column is needed for kind tenant, and for no other")
    over = entry.get("over")
    if over is not None and (relkind != "view" or not isinstance(over, str) or not _NAME.fullmatch(over)):
        raise RelationsError(f"over is {over!r}: only a view has one, and it is a schema.relation")
    if app and (kind == "person" or relkind in ("hypertable", "continuous_aggregate")):
        raise RelationsError(f"role app must have no privilege on a {relkind} of kind {kind}: it has no row security")
    if relkind is None:
        return None
    return Relation(
        name=str(entry["name"]),
        kind=kind,  # type: ignore[arg-type]
        relkind=relkind,  # type: ignore[arg-type]
        tenant_column=tenant_column if isinstance(tenant_column, str) else None,
        personal=_personal(entry),
        app=app,  # type: ignore[arg-type]
        over=over if isinstance(over, str) else None,
        line=entry[_LINE] if isinstance(entry[_LINE], int) else 0,  # type: ignore[arg-type]
    )


def parse_relations(path: Path, edition: Edition) -> tuple[Relation, ...]:
    """Read ``path``, in the file's order.

    Raises:
        RelationsError: it is missing or not of the form; the message names file, line and entry.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _LineLoader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError:
        raise RelationsError(f"{path} does not exist: no relation is declared") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RelationsError(f"{path}:{line}: {error.problem}") from None
    except RelationsError as error:
        raise RelationsError(f"{path}: {error}") from None
    entries = content.get("relations") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise RelationsError(f"{path}: a list named relations is needed")
    lines: dict[str, object] = {}
    found: list[Relation | None] = []
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise RelationsError(f"{path}: entry {number} is no mapping")
        name = entry.get("name")
        where = f"{path}:{entry[_LINE]}: entry {number} ({name})"
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise RelationsError(f"{where}: name must be schema.relation, lower case")
        if name in lines:
            raise RelationsError(f"{where}: declared already at line {lines[name]}")
        lines[name] = entry[_LINE]
        try:
            found.append(_relation(entry, edition))
        except RelationsError as error:
            raise RelationsError(f"{where}: {error}") from None
    relations = {relation.name: relation for relation in found if relation is not None}
    for relation in relations.values():
        if relation.over is not None and relation.over not in relations:
            raise RelationsError(
                f"{path}:{relation.line}: {relation.name} is over {relation.over}, which is not declared"
            )
    return tuple(relations.values())


@lru_cache(maxsize=2)
def load_relations(edition: Edition = "apache") -> tuple[Relation, ...]:
    """Return every declared relation as it is on ``edition`` of TimescaleDB, in the file's order.

    Raises:
        RelationsError: the file is not usable.
    """
    return parse_relations(RELATIONS_FILE, edition)
