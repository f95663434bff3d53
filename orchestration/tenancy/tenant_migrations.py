"""The migrations reach every tenant: its own schemas, or its own database, and a report says who is at which version.

Resumable: a ledger says what each tenant has, each file is one transaction with its line in it, and whoever asks again
goes on. One tenant that cannot be migrated does not hold up the others; they are named together at the end.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow, class_row

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.migrations import Applied, LedgerError, MigrationError, apply_domain, edition, ledger
from orchestration.migrations.files import SQL_ROOT, Domain, Migration, plan
from orchestration.migrations.runner import Report, apply_statements, silent
from orchestration.settings import Settings, get_settings
from orchestration.tenancy.placement import OPERATIONAL_DOMAINS, database_name, placement, schema_names
from orchestration.tenancy.registry import Model, Tenant, TenantError, tenants
from orchestration.tenancy.tenant_schema import tenant_statements

# What a tenant's database holds; events and marts stay in the cell's.
DATABASE_DOMAINS: tuple[Domain, ...] = ("platform", "geo", "saas", "ecommerce")

# The asset, below the cell's prefix, that calls this: what `capstone up` runs when a tenant is behind.
TENANTS_SCHEMAS = ("tenants", "schema")

# Another process that migrates the same tenant is waited for this long.
LOCK_TIMEOUT = "120s"

Connection = psycopg.Connection[TupleRow]

_SQL = Path(__file__).parent / "sql"


class TenantMigrationError(TenantError):
    """Some tenants could not be migrated; the message names each and why. All others were."""


@dataclass(frozen=True)
class TenantVersions:
    """How far one tenant is.

    Attributes:
        tenant: whose.
        versions: the newest migration of each domain of its own; 0 for none yet. Empty for model shared.
        pending: how many migrations the cell has that it lacks.
        problem: why it could not be asked, or why its ledger and the files disagree; None otherwise.
    """

    tenant: Tenant
    versions: Mapping[str, int]
    pending: int
    problem: str | None = None


@contextmanager
def _lock(connection: Connection, tenant_id: UUID) -> Iterator[None]:
    key = f"tenant migrations {tenant_id}"
    connection.execute("select set_config('lock_timeout', %s, false)", (LOCK_TIMEOUT,))
    try:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", (key,))
    except errors.LockNotAvailable:
        raise TenantMigrationError(
            f"another process has been migrating tenant {tenant_id} for {LOCK_TIMEOUT}: repeat the command"
        ) from None
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", (key,))


def _tenants_ledger(connection: Connection, tenant_id: UUID, domain: Domain) -> list[Applied]:
    with connection.cursor(row_factory=class_row(Applied)) as cursor:
        return cursor.execute(
            "select domain, version, name, checksum, applied_at, duration_ms from platform.tenant_migrations "
            "where tenant_id = %s and domain = %s order by version",
            (tenant_id, domain),
        ).fetchall()


def _left(
    connection: Connection, domain: Domain, applied: Sequence[Applied], in_cell: Sequence[Applied], root: Path
) -> list[Migration]:
    """Return what the cell has of ``domain`` and a tenant does not: never more than the cell, whose tables it uses."""
    versions = {entry.version for entry in in_cell}
    left = ledger.remaining(plan(domain, root=root), applied, edition(connection))
    return [migration for migration in left if migration.version in versions]


def migrate_schemas(
    tenant_id: UUID,
    cell: Cell,
    settings: Settings | None = None,
    *,
    report: Report = silent,
    root: Path = SQL_ROOT,
) -> int:
    """Bring the schemas of a tenant, which exist, to what its cell has; returns how many files that took.

    Raises:
        MigrationError: a file failed; nothing of it was kept.
        LedgerError: an applied file was edited or is missing.
        CellUnavailableError: the cell does not answer.
    """
    names = schema_names(tenant_id)
    done = 0
    with (
        routing.connect(
            cell, "migrator", autocommit=True, application_name="capstone tenant migrations", settings=settings
        ) as connection,
        _lock(connection, tenant_id),
    ):
        for domain in OPERATIONAL_DOMAINS:
            applied = _tenants_ledger(connection, tenant_id, domain)
            left = _left(connection, domain, applied, ledger.read(connection, domain), root)
            for migration in left:
                report(f"tenant {tenant_id}: {migration}")
                if not migration.transactional:
                    raise MigrationError(
                        f"sql/{migration} is not for tenants' schemas: outside a transaction it cannot be repeated for "
                        "each; write what concerns their tables as a transaction"
                    )
                started = time.monotonic()
                with connection.transaction():
                    # A file that writes rows can ask for which tenant, and writes those of a closed one too.
                    connection.execute(
                        "select set_config('app.current_tenant', %s, true), set_config('app.fence_pass', %s, true)",
                        (str(tenant_id), str(tenant_id)),
                    )
                    apply_statements(connection, migration, tenant_statements(migration, names), "owner")
                    connection.execute("reset role")
                    _bind(connection, tenant_id, list(names.values()))
                    _record(connection, tenant_id, migration, int((time.monotonic() - started) * 1000))
                done += 1
    return done


def _record(connection: Connection, tenant_id: UUID, migration: Migration, duration_ms: int) -> None:
    connection.execute(
        "insert into platform.tenant_migrations (tenant_id, domain, version, name, checksum, duration_ms) "
        "values (%s, %s, %s, %s, %s, %s)",
        (tenant_id, migration.domain, migration.version, migration.name, migration.checksum, duration_ms),
    )


def _bind(connection: Connection, tenant_id: UUID, schemas: Sequence[str]) -> None:
    """Bind new tables of a tenant's schemas to it: a check that no row is another's, write fences, quotas' counters."""
    connection.execute("set local role owner")
    unbound = connection.execute((_SQL / "unbound_tables.sql").read_text(), {"schemas": list(schemas)}).fetchall()
    for schema, table in unbound:
        connection.execute(
            sql.SQL("alter table {} add constraint belongs_to_tenant check (tenant_id = {})").format(
                sql.Identifier(schema, table), sql.Literal(str(tenant_id))
            )
        )
    for procedure in ("platform.install_write_fences", "metering.install_counters"):
        found = connection.execute("select to_regproc(%s) is not null", (procedure,)).fetchone()
        if found is not None and found[0]:
            connection.execute(sql.SQL("call {}()").format(sql.Identifier(*procedure.split("."))))
    connection.execute("reset role")


def migrate_database(
    tenant_id: UUID, cell: Cell, settings: Settings | None = None, *, report: Report = silent, root: Path = SQL_ROOT
) -> int:
    """Bring the database of a tenant, which exists, to what the files say, and its login's privileges with it.

    Raises:
        MigrationError, LedgerError: as for :func:`migrate_schemas`.
        CellUnavailableError: the database does not answer.
    """
    settings = settings or get_settings()
    place = placement(tenant_id, cell, "database")
    own = place.settings(settings)
    done = sum(len(apply_domain(cell, domain, settings=own, report=report, root=root)) for domain in DATABASE_DOMAINS)
    with place.connect("superuser", settings) as connection:
        connection.execute(
            sql.SQL((_SQL / "close_tenant_database.sql").read_text()).format(
                database=sql.Identifier(database_name(tenant_id)), login=sql.Identifier(database_name(tenant_id))
            )
        )
        connection.execute("select set_config('tenant.login', %s, true)", (database_name(tenant_id),))
        connection.execute((_SQL / "grant_as_app.sql").read_bytes())
    return done


def _migrate(tenant: Tenant, settings: Settings, report: Report, root: Path) -> int:
    if tenant.model == "schema":
        return migrate_schemas(tenant.id, tenant.cell, settings, report=report, root=root)
    return migrate_database(tenant.id, tenant.cell, settings, report=report, root=root)


def migrate_tenants(
    cell: Cell, settings: Settings | None = None, *, report: Report = silent, root: Path = SQL_ROOT
) -> int:
    """Bring every tenant of ``cell`` that has schemas or a database of its own to what the cell has.

    Those that are being provisioned are brought there by their creation.

    Returns:
        How many files were applied, over all tenants.

    Raises:
        TenantMigrationError: some tenants could not be migrated; all others were.
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    done = 0
    failed: list[str] = []
    for tenant in _own_places(cell, settings):
        if tenant.status == "provisioning":
            continue
        try:
            done += _migrate(tenant, settings, report, root)
        except (MigrationError, LedgerError, TenantError, routing.CellUnavailableError) as error:
            failed.append(f"{tenant.subdomain} ({tenant.id}): {error}")
    if failed:
        raise TenantMigrationError(
            f"{len(failed)} tenants of cell {cell!r} could not be migrated, all others were: "
            + "; ".join(failed[:10])
            + ("; …" if len(failed) > 10 else "")
            + ". Mend the cause and run `capstone tenant migrate`"
        )
    return done


def _own_places(cell: Cell, settings: Settings) -> list[Tenant]:
    models: tuple[Model, ...] = ("schema", "database")
    return [tenant for model in models for tenant in tenants(cell, settings, model=model)]


def versions(cell: Cell, settings: Settings | None = None, *, root: Path = SQL_ROOT) -> list[TenantVersions]:
    """Return, for each tenant with schemas or a database of its own, how far it is and what it lacks.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    found: list[TenantVersions] = []
    with routing.connect(cell, "auditor", autocommit=True, settings=settings) as shared:
        in_cell = {domain: ledger.read(shared, domain) for domain in DATABASE_DOMAINS}
        for tenant in _own_places(cell, settings):
            try:
                if tenant.model == "schema":
                    read = partial(_tenants_ledger, shared, tenant.id)
                    found.append(_versions(shared, tenant, read, in_cell, root=root))
                else:
                    with placement(tenant.id, cell, "database").connect("auditor", settings, autocommit=True) as own:
                        found.append(_versions(own, tenant, partial(ledger.read, own), in_cell, root=root))
            except (LedgerError, routing.CellUnavailableError) as error:
                found.append(TenantVersions(tenant, {}, 0, str(error)))
    return found


def _versions(
    connection: Connection,
    tenant: Tenant,
    read: Callable[[Domain], list[Applied]],
    in_cell: Mapping[Domain, Sequence[Applied]],
    *,
    root: Path,
) -> TenantVersions:
    domains = OPERATIONAL_DOMAINS if tenant.model == "schema" else DATABASE_DOMAINS
    applied = {domain: read(domain) for domain in domains}
    left = [m for d in domains for m in _left(connection, d, applied[d], in_cell[d], root)]
    newest: dict[str, int] = {
        domain: max((entry.version for entry in entries), default=0) for domain, entries in applied.items()
    }
    return TenantVersions(tenant, newest, len(left))


def pending(cell: Cell, settings: Settings | None = None, *, root: Path = SQL_ROOT) -> int:
    """Return how many tenants of ``cell`` lack a migration that it has, or cannot be asked."""
    return sum(
        1
        for each in versions(cell, settings, root=root)
        if each.tenant.status != "provisioning" and (each.pending or each.problem)
    )
