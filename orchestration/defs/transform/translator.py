"""How dbt's resources become assets of one cell: one small function per attribute."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import dagster as dg

from orchestration.cells.regions import REGIONS, Cell
from orchestration.defs.partitions import daily_partitions
from orchestration.defs.platform.schemas import OWNERS
from orchestration.defs.transform.light_dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtProject,
)

Layer = Literal["staging", "intermediate", "marts"]

# Which asset loads which source table. Explicit: a new source without an entry is an error when the code loads, not
# an asset that silently depends on nothing.
INGEST_ASSET: dict[str, str] = {
    "saas.plans": "plans",
    "saas.tenants": "tenants",
    "saas.users": "staff",
    "saas.projects": "staff",
    "geo.regions": "staff",
    "geo.users": "staff",
    "geo.eu_user_data": "staff",
    "ecommerce.users": "shoppers",
    "ecommerce.addresses": "shoppers",
    "ecommerce.categories": "catalog",
    "ecommerce.products": "catalog",
    "ecommerce.product_variants": "catalog",
    "ecommerce.orders": "orders",
    "ecommerce.order_items": "orders",
    "analytics.events": "events",
    "analytics.events_history": "events",
    "analytics.events_daily": "events_hourly",
    # Counted while the service runs, from the moment that a tenant is there.
    "metering.event_months": "tenants",
    "metering.request_hours": "tenants",
}

# The real purchase log is one asset that writes to many of a single cell's tables.
CDNOW_CELL: Cell = "na"
CDNOW_TABLES = frozenset(
    {
        "saas.tenants",
        "ecommerce.users",
        "ecommerce.categories",
        "ecommerce.products",
        "ecommerce.product_variants",
        "ecommerce.orders",
        "ecommerce.order_items",
        "analytics.events_history",
    }
)

# What imported files are written to, beside what the cell's other assets write there.
IMPORT_TABLES = frozenset({"analytics.events", "analytics.events_history"})


class UnknownSourceError(KeyError):
    """A dbt source has no ingest asset; the message names it and the table to add it to."""

    def __init__(self, table: str) -> None:
        super().__init__(f"dbt source {table!r} is not in INGEST_ASSET: add which asset loads it")


def source_table(props: Mapping[str, Any]) -> str:
    """Return ``schema.table`` of a source."""
    return f"{props['schema']}.{props['identifier']}"


def ingest_key(cell: Cell, table: str) -> dg.AssetKey:
    """Return the key of the asset that loads a source table.

    Raises:
        UnknownSourceError: the table has no entry in ``INGEST_ASSET``.
    """
    if table not in INGEST_ASSET:
        raise UnknownSourceError(table)
    return dg.AssetKey([cell, "ingest", INGEST_ASSET[table]])


def gate_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset whose blocking checks stop a cell's line."""
    return dg.AssetKey([cell, "governance", "gate"])


def cdnow_key() -> dg.AssetKey:
    """Return the key of the asset that loads the real purchase log."""
    return dg.AssetKey([CDNOW_CELL, "ingest", "cdnow"])


def imports_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset that a cell's imported files are partitions of."""
    return dg.AssetKey([cell, "ingest", "imports"])


def stream_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset that stands for a cell's live events."""
    return dg.AssetKey([cell, "ingest", "stream"])


def layer_of(props: Mapping[str, Any]) -> Layer:
    """Return a model's layer: the first folder below ``models``.

    Raises:
        ValueError: the model lies in none of the three.
    """
    folder = props["fqn"][1]
    for layer in get_args(Layer):
        if folder == layer:
            return layer  # type: ignore[no-any-return]
    raise ValueError(f"model {props['name']!r} lies in models/{folder}: staging, intermediate or marts is needed")


def model_key(cell: Cell, props: Mapping[str, Any]) -> dg.AssetKey:
    """Return the key of a model's asset."""
    return dg.AssetKey([cell, layer_of(props), props["name"]])


def group_name(cell: Cell, layer: Layer) -> str:
    """Return the group of a layer; what stands between staging and marts is shown with staging."""
    return f"{cell}_marts" if layer == "marts" else f"{cell}_staging"


def kinds(props: Mapping[str, Any]) -> set[str]:
    """Return the kinds that the UI shows; staging reads the hypertable, everything else plain tables."""
    reads_hypertable = "source.capstone.analytics.events" in props.get("depends_on", {}).get("nodes", [])
    return {"dbt", "timescaledb" if reads_hypertable else "postgres"}


def tags(cell: Cell, props: Mapping[str, Any]) -> dict[str, str]:
    """Return an asset's tags: its cell, and dbt's own."""
    return {"capstone/cell": cell, **{f"dbt/{tag}": "" for tag in props.get("tags", [])}}


def is_daily(props: Mapping[str, Any]) -> bool:
    """Return whether a model is built day by day."""
    return "daily" in props.get("tags", [])


def extra_upstream(cell: Cell, props: Mapping[str, Any]) -> Sequence[dg.AssetKey]:
    """Return what a model rests on beyond dbt's graph: the gate, imports, the stream, the real log where it writes."""
    if props["resource_type"] != "model" or layer_of(props) != "staging":
        return []
    keys = [gate_key(cell)]
    sources = {".".join(node.split(".")[2:]) for node in props["depends_on"]["nodes"] if node.startswith("source.")}
    if cell == CDNOW_CELL and sources & CDNOW_TABLES:
        keys.append(cdnow_key())
    if sources & IMPORT_TABLES:
        keys.append(imports_key(cell))
    if "analytics.events" in sources:
        keys.append(stream_key(cell))
    return keys


class CellTranslator(DagsterDbtTranslator):
    """Translates the project's resources for one cell."""

    def __init__(self, cell: Cell) -> None:
        # Several source tables are loaded by one asset.
        super().__init__(
            DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_source_tests_as_checks=False)
        )
        self.cell: Cell = cell

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """Return a resource's asset, with what it rests on beyond dbt's graph."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        props = self.get_resource_props(manifest, unique_id)
        if props["resource_type"] != "model":
            return spec
        present = {dep.asset_key for dep in spec.deps}
        # Whatever was imported counts for a model, whichever days it builds.
        every = {imports_key(self.cell): dg.AllPartitionMapping()}
        more = [
            dg.AssetDep(key, partition_mapping=every.get(key))
            for key in extra_upstream(self.cell, props)
            if key not in present
        ]
        return spec.replace_attributes(deps=[*spec.deps, *more], kinds=kinds(props))

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the key of a model, or of the asset that loads a source."""
        if dbt_resource_props["resource_type"] == "source":
            return ingest_key(self.cell, source_table(dbt_resource_props))
        return model_key(self.cell, dbt_resource_props)

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the group: per cell and layer."""
        if dbt_resource_props["resource_type"] == "source":
            return f"{self.cell}_ingest"
        return group_name(self.cell, layer_of(dbt_resource_props))

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return dbt's description with the cell's name; the SQL is one click away in the repo and dbt docs."""
        return f"{dbt_resource_props['description']} Cell {self.cell} ({REGIONS[self.cell].name})."

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:  # noqa: ARG002
        """Return the owners."""
        return OWNERS

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the tags."""
        return tags(self.cell, dbt_resource_props)

    def get_partitions_def(self, dbt_resource_props: Mapping[str, Any]) -> dg.PartitionsDefinition | None:
        """Return the platform's days for models that are built day by day."""
        return daily_partitions() if is_daily(dbt_resource_props) else None
