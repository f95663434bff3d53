"""Every relation that dbt builds is declared as what it is."""

import re
from typing import Any

from orchestration.cells.relations import load_relations
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.transform.assets import models
from orchestration.defs.transform.project import MANIFEST

DECLARED = {relation.name: relation for relation in load_relations() if relation.built_by_dbt}
MODELS = {f"{model['schema']}.{model['alias']}": model for model in models(read_manifest(MANIFEST))}


def test_every_model_is_declared_and_every_declared_relation_is_a_model() -> None:
    assert set(DECLARED) == set(MODELS)


def test_what_carries_tenant_id_is_declared_a_tenants() -> None:
    for name, model in MODELS.items():
        assert (DECLARED[name].tenant_column == "tenant_id") == ("tenant_id" in model["columns"]), name


def test_only_tenants_marts_are_readable_for_tenants_and_for_nothing_but_select() -> None:
    for name, relation in DECLARED.items():
        readable = name.startswith("marts.") and relation.kind == "tenant"
        assert relation.app == (("select",) if readable else ()), name


def test_what_is_declared_an_aggregate_says_so_in_dbt_and_nothing_else_leaves_the_cell() -> None:
    for name, model in MODELS.items():
        is_aggregate = DECLARED[name].kind == "aggregate"
        assert (model["config"]["meta"].get("relation_kind") == "aggregate") == is_aggregate, name
        assert bool(model["config"]["meta"].get("leaves_cell")) == is_aggregate, name


def test_views_and_tables_are_declared_as_such() -> None:
    for name, model in MODELS.items():
        assert DECLARED[name].relkind == ("view" if model["config"]["materialized"] == "view" else "table"), name


def personal_in_dbt(node: Any) -> dict[str, str]:
    """Return the classes that a model's or source's columns have in dbt's meta."""
    return {
        name: column["meta"]["personal"] for name, column in node["columns"].items() if "personal" in column["meta"]
    }


def test_dbts_meta_says_of_every_column_of_a_model_what_the_declaration_says() -> None:
    for name, model in MODELS.items():
        assert personal_in_dbt(model) == DECLARED[name].personal, name


def test_dbts_meta_says_of_every_column_of_a_source_what_the_declaration_says() -> None:
    declared = {relation.name: relation for relation in load_relations()}
    manifest: dict[str, Any] = read_manifest(MANIFEST)
    sources = {f"{source['schema']}.{source['name']}": source for source in manifest["sources"].values()}
    assert len(sources) > 10
    for name, source in sources.items():
        assert personal_in_dbt(source) == declared[name].personal, name


def test_what_the_database_will_say_of_a_models_column_ends_with_its_class() -> None:
    for name, model in MODELS.items():
        said = {
            column: found[1]
            for column, content in model["columns"].items()
            if (found := re.search(r"\(personal: ([a-z]+)\)$", content["description"]))
        }
        assert said == DECLARED[name].personal, name
