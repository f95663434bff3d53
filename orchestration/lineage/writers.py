"""What of a dbt project writes rows besides the models' queries: hooks, strategies, materializations.

dbt runs more than it compiles. None of it is followed; each has to be known to add nothing of its own. A macro says so
in its meta, where a reviewer sees it, and the tests read what such macros were rendered to:

    - name: get_incremental_replace_stale_sql
      config: {meta: {lineage: inserts the result}}
    - name: secure_tenant_relation
      config: {meta: {lineage: copies nothing}}
"""

import re
from collections.abc import Iterator

from orchestration.lineage.project import Project

COPIES_NOTHING, INSERTS_THE_RESULT = "copies nothing", "inserts the result"

# By these the database is asked or changed while a model is compiled; what it says gets into the SQL as a constant.
_ASKS = re.compile(
    r"\b(run_query|run_query_and_profile|statement|load_result|adapter)\b\s*[.(]|\{%-?\s*call\s+statement\b"
)

# dbt's own: each takes what the query gives, and nothing else. `ephemeral` is part of the queries that read it.
_MATERIALIZATIONS = frozenset({"view", "table", "incremental", "ephemeral"})
_STRATEGIES = frozenset({"append", "delete+insert", "merge", "default"})

_ONE_CALL = re.compile(r"\{\{\s*(?P<macro>[a-z_][a-z0-9_]*)\((?:[^{}]|\{\}|\[\])*\)\s*\}\}")


def unfollowed_writers(project: Project) -> Iterator[tuple[str, str]]:
    """Yield what may write rows of its own, as (where, why)."""
    for model in project.models.values():
        if model.materialized not in _MATERIALIZATIONS:
            yield model.name, f"is materialized as {model.materialized}, which is not followed"
        if model.strategy is not None and model.strategy not in _STRATEGIES:
            macro = f"get_incremental_{model.strategy}_sql"
            if _says(project, macro) != INSERTS_THE_RESULT:
                yield model.name, f"macro {macro} does not declare that it {INSERTS_THE_RESULT}"
        for hook in model.writes:
            call = _ONE_CALL.fullmatch(hook.strip())
            if call is None:
                yield model.name, "has a hook that is no call of one macro"
            elif _says(project, call["macro"]) != COPIES_NOTHING:
                yield model.name, f"hook {call['macro']} does not declare that it {COPIES_NOTHING}"
        if _ASKS.search(model.raw):
            yield model.name, "asks the database while dbt compiles: have a macro do that, which says what it is for"
    yield from _macros(project)
    for hook in project.hooks:
        call = _ONE_CALL.fullmatch(hook.strip())
        if call is None or _says(project, call["macro"]) != COPIES_NOTHING:
            yield "dbt_project.yml", "a hook of the whole run does not declare that it copies nothing"
    for other in project.others:
        yield "dbt_project.yml", other


def _macros(project: Project) -> Iterator[tuple[str, str]]:
    for name, macro in project.macros.items():
        if macro.meta.get("lineage") in (COPIES_NOTHING, INSERTS_THE_RESULT):
            continue
        if macro.replaces_dbts:
            yield f"macro {name}", "stands in for dbt's own and does not declare what it writes"
        elif _ASKS.search(macro.text):
            yield (
                f"macro {name}",
                f"asks the database while dbt compiles and does not declare that it {COPIES_NOTHING}",
            )


def _says(project: Project, macro: str) -> object:
    found = project.macros.get(macro)
    return found.meta.get("lineage") if found is not None else None
