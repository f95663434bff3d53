"""The schemas: one asset per domain and cell, which applies what ``sql/<domain>`` holds and the cell lacks."""

import time
from collections.abc import Sequence

import dagster as dg

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.defs.network_faults import NETWORK_RETRY, only_network_retried
from orchestration.migrations import DOMAINS, Applied, apply_domain, edition
from orchestration.migrations.files import Domain
from orchestration.migrations.ledger import read
from orchestration.tenancy.tenant_migrations import TENANTS_SCHEMAS, migrate_tenants, versions

OWNERS = ["team:data-platform"]

_WHAT: dict[Domain, str] = {
    "platform": "roles, extensions, tenant context, migration ledger, load records, proofs and the gate",
    "geo": "regions and persons with their region of record",
    "saas": "plans, tenants, staff users and projects, under row security",
    "ecommerce": "shoppers, catalogue, carts, orders, payments and process_checkout(), under row security",
    "analytics": "the events hypertable, its history and hourly rollup, and the views through which tenants read them",
}


def schema_key(cell: Cell, domain: Domain) -> dg.AssetKey:
    """Return the key of a domain's schema in a cell."""
    return dg.AssetKey([cell, domain, "schema"])


def _rests_on(cell: Cell, domain: Domain) -> Sequence[dg.AssetKey]:
    earlier = DOMAINS[: DOMAINS.index(domain)]
    return [schema_key(cell, earlier[-1])] if earlier else []


def ledger_table(ledger: Sequence[Applied]) -> dg.TableMetadataValue:
    """Return the migrations of a domain as a table: when each was applied and how long it took."""
    return dg.TableMetadataValue(
        records=[
            dg.TableRecord(
                {
                    "migration": entry.name,
                    "applied at": entry.applied_at.isoformat(timespec="seconds"),
                    "ms": entry.duration_ms,
                    "checksum": entry.checksum[:12],
                }
            )
            for entry in ledger
        ],
        schema=dg.TableSchema(
            [
                dg.TableColumn("migration"),
                dg.TableColumn("applied at"),
                dg.TableColumn("ms", "int"),
                dg.TableColumn("checksum"),
            ]
        ),
    )


def schema_asset(cell: Cell, domain: Domain) -> dg.AssetsDefinition:
    """Return the asset that brings schema ``domain`` of ``cell`` up to date."""

    @dg.asset(
        key=schema_key(cell, domain),
        deps=_rests_on(cell, domain),
        group_name=f"{cell}_platform",
        kinds={"postgres", "timescaledb", "sql"},
        owners=OWNERS,
        retry_policy=NETWORK_RETRY,
        description=f"Schema `{domain}` of cell {cell} ({REGIONS[cell].name}): {_WHAT[domain]}. "
        f"Applies the files of `sql/{domain}/` that this cell does not have yet; an applied file that was edited "
        "is an error.",
    )
    def schema(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with only_network_retried():
            applied = apply_domain(cell, domain, report=context.log.info)
            with routing.connect(cell, "migrator") as connection:
                ledger, found = read(connection, domain), edition(connection)
        return dg.MaterializeResult(
            metadata={
                "migrations applied now": len(applied),
                "migrations in all": len(ledger),
                "version": f"{ledger[-1].version:03}",
                "edition": found,
                "duration (s)": round(time.monotonic() - started, 3),
                "ledger": ledger_table(ledger),
            }
        )

    return schema


def tenants_key(cell: Cell) -> dg.AssetKey:
    """Return the key of the asset that brings tenants' own schemas and databases up to date."""
    return dg.AssetKey([cell, *TENANTS_SCHEMAS])


def tenants_asset(cell: Cell) -> dg.AssetsDefinition:
    """Return the asset that carries the migrations of ``cell`` to its tenants' own schemas and databases."""

    @dg.asset(
        key=tenants_key(cell),
        deps=[schema_key(cell, "ecommerce")],
        group_name=f"{cell}_platform",
        kinds={"postgres", "sql"},
        owners=OWNERS,
        retry_policy=NETWORK_RETRY,
        description=f"Schemas and databases of single tenants of cell {cell} ({REGIONS[cell].name}): applies what "
        "`sql/saas` and `sql/ecommerce` hold and a tenant lacks. One tenant that cannot be migrated does not hold up "
        "the others; the run fails and names it.",
    )
    def tenants_schemas(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        started = time.monotonic()
        with only_network_retried():
            applied = migrate_tenants(cell, report=context.log.info)
            found = versions(cell)
        return dg.MaterializeResult(
            metadata={
                "migrations applied now": applied,
                "tenants with schemas": sum(1 for each in found if each.tenant.model == "schema"),
                "tenants with a database": sum(1 for each in found if each.tenant.model == "database"),
                "tenants behind": sum(1 for each in found if each.pending or each.problem),
                "duration (s)": round(time.monotonic() - started, 3),
            }
        )

    return tenants_schemas


@dg.definitions
def defs() -> dg.Definitions:
    """Return the schema assets of all cells, shared and of single tenants."""
    return dg.Definitions(
        assets=[
            *(schema_asset(cell, domain) for cell in CELLS for domain in DOMAINS),
            *(tenants_asset(cell) for cell in CELLS),
        ]
    )
