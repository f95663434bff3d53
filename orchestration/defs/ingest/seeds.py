"""Seeds: what a cell needs before anything can happen in it. One transaction, one op, five assets."""

from collections.abc import Iterator

import dagster as dg

from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.ingest.load_metadata import upsert_metadata
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.defs.platform.schemas import OWNERS, schema_key

# Which tables each seed asset stands for, and what it says of itself.
SEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "plans": (("saas.plans",), "The plans with their prices and limits, the same in every cell."),
    "tenants": (
        ("saas.tenants", "ecommerce.store_settings"),
        "The merchants, the same for the same seed and scale; a tenant's plan, status and settings are the service's.",
    ),
    "staff": (
        ("saas.users", "saas.projects"),
        "The merchants' staff, each a person of this region, and their projects.",
    ),
    "catalog": (
        ("ecommerce.categories", "ecommerce.products", "ecommerce.product_variants"),
        "Category trees, products and variants; stock belongs to the running service.",
    ),
    "shoppers": (
        ("geo.users", "geo.eu_user_data", "ecommerce.users", "ecommerce.addresses"),
        "The shoppers of the first window with their addresses, and the persons they are; later days win further ones.",
    ),
}


def seed_key(cell: Cell, name: str) -> dg.AssetKey:
    """Return the key of a seed asset, or of any other asset of the ingest layer."""
    return dg.AssetKey([cell, "ingest", name])


def seed_assets(cell: Cell) -> dg.AssetsDefinition:
    """Return the seeds of a cell."""

    @dg.multi_asset(
        name=f"{cell}__ingest__seeds",
        specs=[
            dg.AssetSpec(
                key=seed_key(cell, name),
                deps=[schema_key(cell, "analytics")],
                group_name=f"{cell}_ingest",
                owners=OWNERS,
                kinds={"python", "postgres"},
                description=f"{description} Cell {cell} ({REGIONS[cell].name}).",
                metadata={"tables": ", ".join(tables)},
            )
            for name, (tables, description) in SEEDS.items()
        ],
        retry_policy=NETWORK_RETRY,
    )
    def seeds(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        from orchestration.loading.seeds import load_seeds  # noqa: PLC0415 -- numpy and arrow load in the run

        with only_network_retried():
            report = load_seeds(cell)
        written = {table.table: table for table in report.tables}
        context.log.info(f"{report.rows} rows of {len(written)} tables in {report.seconds:.1f} s")
        for name, (tables, _) in SEEDS.items():
            found = [written[table] for table in tables if table in written]
            yield dg.MaterializeResult(asset_key=seed_key(cell, name), metadata=upsert_metadata(found, report.seconds))

    return seeds


@dg.definitions
def defs() -> dg.Definitions:
    """Return the seeds of all cells."""
    return dg.Definitions(assets=[seed_assets(cell) for cell in CELLS])
