"""Every place where rows of tenants or persons, or copies of them, can be: what residency, export and erasure go by.

A store registers here once. What is proven, exported or erased iterates this list, so a store that is missing here is
a copy that nobody looks for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestration.cells.regions import Cell
from orchestration.cells.relations import DBT_SCHEMAS, load_relations
from orchestration.settings import Settings, get_settings

# What the platform itself keeps in the state directory, beside the stores.
PLATFORM_FILES = (
    ".capstone-home",
    "engines.json",
    "secrets.json",
    "platform.json",
    "up.lock",
    "run",
    "sockets",
    "docs/index.html",
    "dagster/dagster.yaml",
    "dagster/workspace.yaml",
    "dagster/artifacts",
)

# tables: relations of a cell's database; database: what the server keeps of them beside tables; redis; files.
Medium = Literal["tables", "database", "redis", "files"]
# cell: one per region, may hold regional data; shared: one for all regions, must never hold any.
Scope = Literal["cell", "shared"]
# rows: tenants' or persons' own; derived: built from rows, pseudonymous; names: only names and counts by intent.
Holds = Literal["rows", "derived", "names"]


@dataclass(frozen=True)
class Store:
    """One kind of place.

    Attributes:
        name: unique.
        medium: how it is reached.
        scope: per cell, or shared by all.
        holds: the most sensitive that belongs in it.
        where: below the state directory for files (``{cell}`` is replaced), else schemas, relations or keys.
        description: what it is, and who writes it.
        expiry: what ends a copy there: a policy or a person; None where rows live until they are erased.
    """

    name: str
    medium: Medium
    scope: Scope
    holds: Holds
    where: tuple[str, ...]
    description: str
    expiry: str | None = None

    def paths(self, cell: Cell, settings: Settings | None = None) -> tuple[Path, ...]:
        """Return the directories or files of this store, of ``cell`` where it is per cell.

        Raises:
            ValueError: it does not consist of files.
        """
        if self.medium != "files":
            raise ValueError(f"store {self.name!r} is in {self.medium}, not in files")
        home = (settings or get_settings()).home
        return tuple(home / place.format(cell=cell) for place in self.where)


def _relations_of(*schemas: str) -> tuple[str, ...]:
    return tuple(r.name for r in load_relations() if r.schema in schemas and r.kind in ("tenant", "person"))


def stores() -> tuple[Store, ...]:
    """Return every store.

    Raises:
        RelationsError: the declaration of relations is not usable.
    """
    return (
        Store(
            "persons",
            "tables",
            "cell",
            "rows",
            _relations_of("geo"),
            "Persons and their region of record, written by loads",
        ),
        Store("tenants", "tables", "cell", "rows", _relations_of("saas"), "Tenants, staff and projects"),
        Store("shops", "tables", "cell", "rows", _relations_of("ecommerce"), "Shoppers, orders, payments, reviews"),
        Store(
            "events",
            "tables",
            "cell",
            "rows",
            (
                "analytics.events",
                "analytics.events_history",
                "analytics.event_ids",
                "analytics.imports",
                "analytics.former_users",
                "analytics.stale_days",
            ),
            "Behavioural events, of the hypertable the rows are in its chunks; the ids and the files that were taken, "
            "digests of the shoppers of whom none are taken, and days to be built again without them",
            "analytics.events: one year; analytics.event_ids: nine days; analytics.stale_days: until they are "
            "built; the others: never",
        ),
        Store(
            "rollups",
            "tables",
            "cell",
            "derived",
            (
                "analytics.events_hourly",
                "analytics.events_daily",
                "analytics.page_views_daily",
                "analytics.user_days",
                "analytics.page_users_hourly",
                "analytics.events_hourly_kept",
                "analytics.events_daily_kept",
                "analytics.page_views_daily_kept",
                "analytics.user_days_kept",
                "analytics.page_users_hourly_kept",
                "analytics.changed_hours",
                "analytics.changed_days",
            ),
            "Counts per tenant and hour or day, kept by a refresh or a continuous aggregate, and what changed since",
            "as analytics.events",
        ),
        Store("chunks", "database", "cell", "rows", ("analytics_chunks",), "Where hypertables keep their rows"),
        Store("models", "tables", "cell", "derived", DBT_SCHEMAS, "What dbt builds", "rebuilt from the rows"),
        Store(
            "usage",
            "tables",
            "cell",
            "rows",
            (
                "metering.accounts",
                "metering.event_months",
                "metering.request_hours",
                "platform.tenant_places",
            ),
            "Tenants' limits, counters and usage; they go with the tenant's row in saas.tenants",
        ),
        Store(
            "rejects",
            "tables",
            "cell",
            "names",
            ("platform.loads", "platform.load_rejects"),
            "Loads and refused lines: number, column and reason, never the line",
        ),
        Store(
            "operations",
            "tables",
            "cell",
            "names",
            ("platform.tenant_operations", "platform.former_tenants", "platform.tenant_migrations"),
            "Journal of operations on whole tenants, and salted digests of those that are gone",
        ),
        Store(
            "person operations",
            "tables",
            "cell",
            "names",
            (
                "platform.person_operations",
                "platform.former_persons",
                "platform.person_salt",
                "platform.person_consents",
            ),
            "Journal of operations on persons, consents, and salted digests of those that are gone",
        ),
        Store(
            "parked rows",
            "tables",
            "cell",
            "rows",
            ("platform.parked_rows",),
            "Rows of persons who are on the way to another cell",
            "when the move has ended or is rolled back",
        ),
        Store(
            "proofs",
            "tables",
            "cell",
            "names",
            ("platform.proofs", "platform.proof_attacks"),
            "Verdicts and attacks: names and counts",
            "the newest 500 of a suite, 30 days",
        ),
        Store(
            "write-ahead log and dead rows",
            "database",
            "cell",
            "rows",
            ("pg_wal", "dead tuples"),
            "What was deleted stays until vacuum and the recycling of WAL",
            "vacuum and checkpoints",
        ),
        Store(
            "replication",
            "database",
            "cell",
            "rows",
            ("publications", "replication slots", "standbys"),
            "What leaves the server; only declared global relations may",
        ),
        Store(
            "counters",
            "redis",
            "cell",
            "derived",
            ("rt:*",),
            "Live counters per tenant: totals, minutes, sketches of users, the newest events with their users",
            "minutes, users and newest events after 65 minutes; totals with the tenant",
        ),
        Store(
            "queue",
            "redis",
            "cell",
            "rows",
            ("stream:*",),
            "Events between collector and database, and those that could not be stored (dead letters)",
            "once stored; dead letters when they are replayed or given up",
        ),
        Store("redis files", "files", "cell", "rows", ("redis/{cell}",), "Redis' append-only file and snapshots"),
        Store(
            "database files", "files", "cell", "rows", ("postgres/{cell}",), "Data directory of the cell's PostgreSQL"
        ),
        Store(
            "tenant schemas",
            "database",
            "cell",
            "rows",
            ("schemas t_<tenant>_saas and t_<tenant>_ecommerce",),
            "Operational rows of tenants of model schema",
        ),
        Store(
            "tenant databases",
            "database",
            "cell",
            "rows",
            ("databases tenant_<tenant>",),
            "Operational rows and persons of tenants of model database",
        ),
        Store(
            "tenant logins",
            "files",
            "shared",
            "names",
            ("tenant_logins",),
            "Passwords of the logins of tenants with a database of their own, by the tenant's id",
        ),
        Store(
            "exports", "files", "cell", "rows", ("exports/{cell}",), "Exports of tenants, bundles of persons", "30 days"
        ),
        Store("backups", "files", "cell", "rows", ("backups/{cell}",), "Backups of tenants", "30 days"),
        Store(
            "certificates",
            "files",
            "cell",
            "names",
            ("certificates/{cell}",),
            "Certificates of erasure, of tenants and persons: counts and salted digests",
            "by hand",
        ),
        Store(
            "data docs",
            "files",
            "cell",
            "names",
            ("docs/data/{cell}", "data_docs/{cell}"),
            "Pages of the proofs and the results that they are made from",
            "the last 20 validations of a suite",
        ),
        Store(
            "evidence",
            "files",
            "shared",
            "names",
            ("evidence",),
            "Reports of the proofs for auditors: rules, attacks, names of objects and counts; no tenant's id",
            "by hand",
        ),
        Store(
            "residency map",
            "files",
            "shared",
            "names",
            ("docs/residency_map.html",),
            "Page of what data there is, where it may live and where it lives: names and counts",
            "overwritten at each proof",
        ),
        Store("dbt docs", "files", "cell", "names", ("docs/dbt/{cell}",), "Descriptions and columns of the models"),
        Store(
            "dbt artifacts",
            "files",
            "cell",
            "names",
            ("dbt/{cell}",),
            "Compiled SQL, run results and logs of dbt",
            "overwritten by the next run",
        ),
        Store(
            "run records",
            "database",
            "shared",
            "names",
            ("control: database dagster",),
            "Dagster's runs, event log and asset metadata",
            "the job run_retention",
        ),
        Store(
            "global aggregates",
            "database",
            "shared",
            "derived",
            ("control: database global",),
            "k-anonymous aggregates of all cells",
        ),
        Store(
            "control files", "files", "shared", "names", ("postgres/control",), "Data directory of the control cluster"
        ),
        Store(
            "run logs",
            "files",
            "shared",
            "names",
            ("dagster/compute_logs",),
            "Standard output of Dagster's runs",
            "the job run_retention",
        ),
        Store("server logs", "files", "shared", "names", ("logs",), "Logs of all servers: no statement's parameters"),
        Store("platform files", "files", "shared", "names", PLATFORM_FILES, "Ports, passwords, marks, configuration"),
    )


def store(name: str) -> Store:
    """Return the store of that name.

    Raises:
        KeyError: there is none.
    """
    for each in stores():
        if each.name == name:
            return each
    raise KeyError(f"no store is called {name!r}: one of {', '.join(each.name for each in stores())}")
