"""The project's sources and staging models, as a project that models can be planted in; no dbt, no server."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jinja2
import pytest

from orchestration.cells.shell_environment import DBT_PROJECT_DIR
from orchestration.dbt.manifest import prepare_manifest, read_manifest
from orchestration.lineage.functions import declared_functions
from orchestration.lineage.project import Model, Project, project_of

Plant = Callable[..., Project]


def _compiled(text: str) -> str:
    """Return a staging model's SQL: staging calls nothing but source() and one macro."""
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False).from_string(text)  # noqa: S701
    return template.render(source=lambda schema, table: f"{schema}.{table}", referrer_domain=lambda of: f"lower({of})")


@pytest.fixture(scope="session")
def staging() -> Project:
    """The project's sources and its staging models."""
    manifest: dict[str, Any] = read_manifest(prepare_manifest())
    nodes = {
        key: {**node, "compiled_code": _compiled((DBT_PROJECT_DIR / node["original_file_path"]).read_text())}
        for key, node in manifest["nodes"].items()
        if node["resource_type"] == "model" and node["schema"] == "staging"
    }
    return project_of([{**manifest, "nodes": nodes}])


@pytest.fixture(scope="session")
def plant(staging: Project) -> Plant:
    """Return a function (sql, more, declared, …) that plants marts.leak, which leaves the cell, and further models."""

    def planted(
        sql: str, more: Mapping[str, str] | None = None, declared: Mapping[str, Any] | None = None, **meta: Any
    ) -> Project:
        functions = declared_functions(dict(declared or {}))
        models = {
            name: Model(name, (text,), {}, functions=functions, materialized="view")
            for name, text in (more or {}).items()
        }
        leak = Model("marts.leak", (sql,), {}, functions=functions, leaves_cell=True)
        models["marts.leak"] = replace(leak, **meta)
        return replace(staging, models={**staging.models, **models})

    return planted
