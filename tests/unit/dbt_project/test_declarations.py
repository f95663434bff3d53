"""Every relation that dbt builds is declared as what it is."""

from orchestration.cells.relations import load_relations
from orchestration.defs.transform.assets import models
from orchestration.defs.transform.manifest import read_manifest
from orchestration.defs.transform.project import MANIFEST

DECLARED = {relation.name: relation for relation in load_relations() if relation.built_by_dbt}
MODELS = {f"{model['schema']}.{model['alias']}": model for model in models(read_manifest(MANIFEST))}


def test_every_model_is_declared_and_every_declared_relation_is_a_model() -> None:
    assert set(DECLARED) == set(MODELS)


def test_what_carries_tenant_id_is_declared_a_tenants() -> None:
    for name, model in MODELS.items():
        assert (DECLARED[name].tenant_column == "tenant_id") == ("tenant_id" in model["columns"]), name


def test_only_marts_are_readable_for_tenants_and_for_nothing_but_select() -> None:
    for name, relation in DECLARED.items():
        assert relation.app == (("select",) if name.startswith("marts.") else ()), name


def test_views_and_tables_are_declared_as_such() -> None:
    for name, model in MODELS.items():
        assert DECLARED[name].relkind == ("view" if model["config"]["materialized"] == "view" else "table"), name


def test_personal_columns_of_a_model_are_declared_and_exist() -> None:
    leading_to_a_person = {"user_id", "staff_id", "session_id", "referrer", "properties"}
    for name, model in MODELS.items():
        assert set(DECLARED[name].personal) == leading_to_a_person & set(model["columns"]), name
