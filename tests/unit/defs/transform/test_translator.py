"""What dbt's resources become in Dagster, in every cell."""

from typing import Any

import dagster as dg
import pytest

from orchestration.cells.regions import CELLS, Cell
from orchestration.dbt.manifest import read_manifest
from orchestration.defs.transform.assets import cell_models, daily_keys, models, pool
from orchestration.defs.transform.project import MANIFEST
from orchestration.defs.transform.translator import (
    INGEST_ASSET,
    UnknownSourceError,
    gate_key,
    ingest_key,
    layer_of,
    model_key,
    source_table,
)

MODELS = {
    "staging": {
        "stg_categories",
        "stg_events",
        "stg_events_daily",
        "stg_live_event_months",
        "stg_order_items",
        "stg_orders",
        "stg_plans",
        "stg_product_variants",
        "stg_products",
        "stg_projects",
        "stg_request_hours",
        "stg_shoppers",
        "stg_staff",
        "stg_tenants",
    },
    "intermediate": {
        "int_cohort_contributions",
        "int_customer_orders",
        "int_event_sequences",
        "int_first_touch",
        "int_funnel_contributions",
        "int_funnel_paths",
        "int_order_units",
        "int_purchases",
        "int_revenue_contributions",
        "int_sessions",
        "int_tenant_activity",
        "int_tenant_days",
        "int_user_periods",
    },
    "marts": {
        "agg_closed_periods",
        "agg_cohort_retention",
        "agg_daily_revenue",
        "agg_funnel",
        "dim_tenants",
        "fct_cohort_retention",
        "fct_customer_lifetime_value",
        "fct_daily_revenue",
        "fct_event_trends",
        "fct_funnel",
        "fct_funnel_by_first_touch",
        "fct_funnel_conversion",
        "fct_revenue_cohorts",
        "fct_sessions",
        "fct_tenant_usage",
        "fct_user_paths",
    },
}


DAILY = {
    ("intermediate", "int_event_sequences"),
    ("intermediate", "int_first_touch"),
    ("intermediate", "int_funnel_paths"),
    ("intermediate", "int_sessions"),
    ("intermediate", "int_tenant_days"),
    ("intermediate", "int_user_periods"),
    ("marts", "fct_event_trends"),
    ("marts", "fct_funnel"),
    ("marts", "fct_funnel_by_first_touch"),
    ("marts", "fct_funnel_conversion"),
    ("marts", "fct_sessions"),
    ("marts", "fct_user_paths"),
}


@pytest.fixture(scope="module")
def manifest() -> Any:
    return read_manifest(MANIFEST)


@pytest.fixture(scope="module", params=CELLS)
def cell(request: pytest.FixtureRequest) -> Cell:
    name: Cell = request.param
    return name


@pytest.fixture(scope="module")
def assets(cell: Cell) -> dg.AssetsDefinition:
    return cell_models(cell)


def test_every_model_is_an_asset_under_its_cell_and_layer(assets: dg.AssetsDefinition, cell: Cell) -> None:
    expected = {dg.AssetKey([cell, layer, name]) for layer, names in MODELS.items() for name in names}
    assert set(assets.keys) == expected


def test_what_follows_from_a_days_events_is_built_day_by_day(
    assets: dg.AssetsDefinition, manifest: Any, cell: Cell
) -> None:
    partitioned = {spec.key for spec in assets.specs if spec.partitions_def is not None}
    assert partitioned == daily_keys(manifest, cell)
    assert partitioned >= {dg.AssetKey([cell, *path]) for path in DAILY}


def test_no_asset_rests_on_another_cell(assets: dg.AssetsDefinition, cell: Cell) -> None:
    keys = {dep.asset_key for spec in assets.specs for dep in spec.deps}
    assert {key.path[0] for key in keys} == {cell}


def test_every_staging_model_rests_on_the_gate(assets: dg.AssetsDefinition, cell: Cell) -> None:
    staging = [spec for spec in assets.specs if spec.key.path[1] == "staging"]
    assert len(staging) == len(MODELS["staging"])
    assert all(gate_key(cell) in {dep.asset_key for dep in spec.deps} for spec in staging)


def test_events_and_orders_of_na_rest_on_the_real_purchase_log_too(assets: dg.AssetsDefinition, cell: Cell) -> None:
    real = dg.AssetKey(["na", "ingest", "cdnow"])
    resting = {spec.key.path[-1] for spec in assets.specs if real in {dep.asset_key for dep in spec.deps}}
    assert ({"stg_events", "stg_orders", "stg_order_items", "stg_shoppers"} <= resting) == (cell == "na")


def test_groups_owners_kinds_and_tags_are_the_cells(assets: dg.AssetsDefinition, cell: Cell) -> None:
    for spec in assets.specs:
        assert spec.group_name == (f"{cell}_marts" if spec.key.path[1] == "marts" else f"{cell}_staging")
        assert spec.owners == ["team:data-platform"]
        assert "dbt" in spec.kinds
        assert spec.tags["capstone/cell"] == cell
        assert spec.description
        assert spec.description.startswith("One row per")
        assert f"Cell {cell}" in spec.description


def test_the_pool_is_the_cells(assets: dg.AssetsDefinition, cell: Cell) -> None:
    assert assets.op.pool == pool(cell) == f"cell_{cell}"


def test_a_failing_test_blocks_unless_it_only_warns(assets: dg.AssetsDefinition) -> None:
    blocking = {spec.name: spec.blocking for spec in assets.check_specs}
    warning = [name for name, blocks in blocking.items() if not blocks]
    assert blocking["fct_funnel_steps_never_increase"]
    assert sorted(name.partition("_stg_events_")[0] for name in warning) == [
        "accepted_values",
        "accepted_values",
        "fct_event_trends_newest_day_is_usual",
    ]


def test_every_model_has_a_check(assets: dg.AssetsDefinition) -> None:
    assert {spec.asset_key for spec in assets.check_specs} == set(assets.keys)


def test_every_source_has_an_ingest_asset(manifest: Any) -> None:
    assert {source_table(source) for source in manifest["sources"].values()} == set(INGEST_ASSET)


def test_an_unknown_source_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownSourceError, match=r"ecommerce\.coupons"):
        ingest_key("na", "ecommerce.coupons")


def test_a_model_outside_the_layers_is_an_error() -> None:
    with pytest.raises(ValueError, match="staging, intermediate or marts"):
        layer_of({"name": "x", "fqn": ["capstone", "elsewhere", "x"]})


def test_every_model_names_its_grain_and_describes_every_column(manifest: Any) -> None:
    for model in models(manifest):
        first_line = model["raw_code"].lstrip().splitlines()[0]
        assert first_line.startswith("-- One row per"), model["name"]
        assert model["description"].startswith("One row per"), model["name"]
        assert model["config"]["contract"]["enforced"], model["name"]
        assert model["columns"], model["name"]
        assert all(c["description"] and c["data_type"] for c in model["columns"].values()), model["name"]
        assert model_key("na", model).path[-1] == model["name"]


def test_every_source_column_is_described(manifest: Any) -> None:
    for source in manifest["sources"].values():
        assert source["description"]
        assert all(column["description"] for column in source["columns"].values())


def test_no_model_reads_a_personal_column(manifest: Any) -> None:
    personal = {"email", "password_hash", "first_name", "last_name", "profile", "sensitive_data", "person_id"}
    for model in models(manifest):
        # Whom counts of persons count; declared personal, in a schema that no tenant's role may enter.
        counted = {"person_id"} if model["name"] == "stg_shoppers" else set()
        assert personal & set(model["columns"]) == counted, model["name"]
