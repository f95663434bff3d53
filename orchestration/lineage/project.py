"""A dbt project as lineage needs it: what its compiled manifests say of sources, models, functions and hooks."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from orchestration.cells.relations import PersonalClass
from orchestration.lineage.functions import Declared, FunctionError, declared_functions

# What dbt's meta says, by key.
PERSONAL, GENERALISED = "personal", "generalised"
LEAVES_CELL, COUNTS_GROUPS, READS_CATALOG = "leaves_cell", "counts_groups", "reads_catalog"

# Every row of such a relation belongs to one tenant, which this column names.
TENANT_COLUMN = "tenant_id"


class ManifestError(ValueError):
    """A manifest is missing, damaged or not compiled; the message names it and the way out."""


@dataclass(frozen=True)
class Source:
    """A source table: its declared columns, each with its class or None."""

    name: str
    columns: Mapping[str, PersonalClass | None]

    @property
    def is_personal(self) -> bool:
        """Whether a row of it is about a person."""
        return any(self.columns.values())


@dataclass(frozen=True)
class Model:
    """A model: every SELECT that it was compiled to, and what dbt's meta says of it.

    Attributes:
        name: its relation, ``schema.table``.
        queries: the compiled texts, one for each way in which a run can build it.
        columns: its declared columns, each with its class or None.
        generalised: columns whose class is lower than what they are made of, each with the reason.
        leaves_cell: whether its rows are published outside of the cell.
        counts_groups: why it may say how many groups there were, of whatever size; empty when it may not.
        catalogs: relations of the server that it may read.
        functions: what is declared of functions.
        writes: what besides the queries writes: hooks, as they are in the project.
        materialized: how dbt builds it.
        strategy: how an incremental run merges, None for dbt's own.
        raw: the text before it is compiled.
        incomplete: why it cannot be followed at all, None when it can.
    """

    name: str
    queries: tuple[str, ...]
    columns: Mapping[str, PersonalClass | None]
    generalised: Mapping[str, str] = field(default_factory=dict)
    leaves_cell: bool = False
    counts_groups: str = ""
    catalogs: frozenset[str] = frozenset()
    functions: Mapping[str, Declared] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    materialized: str = "table"
    strategy: str | None = None
    raw: str = ""
    incomplete: str | None = None


@dataclass(frozen=True)
class Macro:
    """A macro of the project: its text, what its meta says, and whether it stands in for one of dbt's own."""

    text: str
    meta: Mapping[str, Any]
    replaces_dbts: bool


@dataclass(frozen=True)
class Project:
    """Sources and models by relation, the project's own macros by name, and what else of it writes rows."""

    sources: Mapping[str, Source]
    models: Mapping[str, Model]
    macros: Mapping[str, Macro] = field(default_factory=dict)
    hooks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def leaving(self) -> tuple[str, ...]:
        """The relations that are declared to leave the cell."""
        return tuple(name for name, model in self.models.items() if model.leaves_cell)


def read_manifest_file(path: Path) -> Mapping[str, Any]:
    """Return a manifest as dbt wrote it.

    Raises:
        ManifestError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(f"{path} does not exist: nothing was compiled that lineage could be read from") from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} cannot be read ({type(error).__name__}): remove it and compile again") from None
    if not isinstance(content, dict) or not isinstance(content.get("nodes"), dict):
        raise ManifestError(f"{path} is no manifest: remove it and compile again")
    return content


def project_of(manifests: Sequence[Mapping[str, Any]]) -> Project:
    """Return the project that ``manifests`` are compilations of: built whole, in increments, for a day.

    Raises:
        ManifestError: there is no manifest, none has a model, or they are of different models.
    """
    if not manifests:
        raise ManifestError("no compiled manifest: nothing was compiled that lineage could be read from")
    nodes = [
        {key: node for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
        for manifest in manifests
    ]
    if not nodes[0]:
        raise ManifestError("the manifest has no model: nothing would be proven")
    if any(each.keys() != nodes[0].keys() for each in nodes):
        raise ManifestError("the manifests are of different versions of the project: compile again")
    models = [_model([each[key] for each in nodes]) for key in nodes[0]]
    return Project(
        sources={source.name: source for source in map(_source, manifests[0].get("sources", {}).values())},
        models={model.name: model for model in models},
        macros=_macros(manifests[0]),
        hooks=tuple(
            str(node.get("raw_code")) for node in manifests[0]["nodes"].values() if node["resource_type"] == "operation"
        ),
        others=tuple(_others(manifests[0])),
    )


def _macros(manifest: Mapping[str, Any]) -> dict[str, Macro]:
    own = manifest.get("metadata", {}).get("project_name")
    nodes = list(manifest.get("macros", {}).values())
    dbts = {node["name"] for node in nodes if node["package_name"] != own}
    return {
        node["name"]: Macro(
            text=node["macro_sql"],
            meta=_meta(node),
            replaces_dbts=node["name"] in dbts or node["name"].startswith("materialization_"),
        )
        for node in nodes
        if node["package_name"] == own
    }


def _meta(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**(node.get("meta") or {}), **((node.get("config") or {}).get("meta") or {})}


def _class(name: str, content: Mapping[str, Any]) -> PersonalClass | None:
    said = _meta(content).get(PERSONAL)
    if said is not None and said not in get_args(PersonalClass):
        raise ManifestError(
            f"column {name} is of class {said!r}: one of {', '.join(get_args(PersonalClass))} is needed"
        )
    return said


def _columns(node: Mapping[str, Any]) -> dict[str, PersonalClass | None]:
    return {name: _class(f"{node['name']}.{name}", content) for name, content in node.get("columns", {}).items()}


def _source(node: Mapping[str, Any]) -> Source:
    return Source(f"{node['schema']}.{node.get('identifier') or node['name']}", _columns(node))


def _model(variants: Sequence[Mapping[str, Any]]) -> Model:
    node = variants[0]
    name = f"{node['schema']}.{node['alias']}"
    meta, config = _meta(node), node.get("config", {})
    texts = [variant.get("compiled_code") for variant in variants]
    incomplete = None if all(texts) else "was not compiled"
    functions: Mapping[str, Declared] = {}
    try:
        functions = declared_functions(meta.get("functions"))
    except FunctionError as error:
        incomplete = str(error)
    if node.get("language", "sql") != "sql":
        incomplete = f"is written in {node['language']}, which is not followed"
    hooks = [*config.get("pre-hook", []), *config.get("post-hook", [])]
    if config.get("sql_header"):
        hooks.append(config["sql_header"])
    return Model(
        name=name,
        queries=tuple(dict.fromkeys(text for text in texts if text)),
        columns=_columns(node),
        generalised={
            column: str(_meta(content)[GENERALISED])
            for column, content in node.get("columns", {}).items()
            if _meta(content).get(GENERALISED)
        },
        leaves_cell=bool(meta.get(LEAVES_CELL)),
        counts_groups=str(meta.get(COUNTS_GROUPS) or ""),
        catalogs=frozenset(meta.get(READS_CATALOG) or ()),
        functions=functions,
        writes=tuple(hook["sql"] if isinstance(hook, Mapping) else str(hook) for hook in hooks),
        materialized=str(config.get("materialized")),
        raw=str(node.get("raw_code") or ""),
        strategy=config.get("incremental_strategy") if config.get("materialized") == "incremental" else None,
        incomplete=incomplete,
    )


def _others(manifest: Mapping[str, Any]) -> Iterable[str]:
    """Yield what else of the project writes rows, and is not followed."""
    for key, node in sorted(manifest["nodes"].items()):
        kind = node["resource_type"]
        if kind in ("snapshot", "seed"):
            yield f"{key} is a {kind}: its rows are not followed"
        elif kind == "test" and node.get("config", {}).get("store_failures"):
            yield f"{key} stores failing rows, which is a copy of them"


def digest_of(project: Project) -> str:
    """Return a digest of all that the proof rests on."""
    return hashlib.sha256(
        repr((project.sources, project.models, project.macros, project.hooks, project.others)).encode()
    ).hexdigest()
