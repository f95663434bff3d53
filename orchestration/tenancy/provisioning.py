"""Making and removing the places of tenants that do not share tables: two schemas, or a database with its own login.

Both are idempotent and can be killed anywhere: what is there is passed over, what is missing is made.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from orchestration.cells import credentials, routing
from orchestration.cells.regions import Cell
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import tenant_logins
from orchestration.tenancy.placement import database_name, placement, schema_names
from orchestration.tenancy.registry import Model, Tenant
from orchestration.tenancy.tenant_migrations import migrate_database, migrate_schemas

Connection = psycopg.Connection[TupleRow]

_SQL = Path(__file__).parent / "sql"

# Until plans say: what one tenant's login may hold open at once, and how long a statement of it may take.
DEFAULT_CONNECTIONS = 20
DEFAULT_STATEMENT_TIMEOUT_MS = 30_000


def provision(tenant: Tenant, model: Model, cell: Cell, settings: Settings | None = None) -> str:
    """Make where the rows of ``tenant`` live in ``cell`` in this model, empty and up to date; says what is there.

    The tenant must be registered in that cell. In a database of its own it is registered as it is in ``tenant``, with
    this model, and its plan with it.

    Raises:
        MigrationError: a migration failed; repeat the call when it is mended.
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    if model == "schema":
        return _provision_schemas(tenant.id, cell, settings)
    if model == "database":
        return _provision_database(tenant, cell, settings)
    return "shared tables"


def deprovision(tenant_id: UUID, model: Model, cell: Cell, settings: Settings | None = None) -> str:
    """Remove the tenant's own schemas or database in ``cell`` with all rows in them; shared tables stay as they are.

    Raises:
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    if model == "schema":
        with routing.connect(cell, "superuser", settings=settings) as connection:
            connection.execute("set local client_min_messages = warning")
            for schema in schema_names(tenant_id).values():
                connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
            connection.execute("delete from platform.tenant_migrations where tenant_id = %s", (tenant_id,))
        return "schemas dropped"
    if model == "database":
        name = database_name(tenant_id)
        with routing.connect(cell, "superuser", autocommit=True, settings=settings) as connection:
            connection.execute("set client_min_messages = warning")
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("drop role if exists {}").format(sql.Identifier(name)))
        tenant_logins.forget_password(name, settings)
        return "database dropped"
    return "shared tables stay"


def _provision_schemas(tenant_id: UUID, cell: Cell, settings: Settings) -> str:
    with routing.connect(cell, "superuser", settings=settings) as connection:
        connection.execute("set local client_min_messages = warning")
        for schema in schema_names(tenant_id).values():
            connection.execute(
                sql.SQL((_SQL / "create_tenant_schema.sql").read_text()).format(schema=sql.Identifier(schema))
            )
    files = migrate_schemas(tenant_id, cell, settings)
    return f"2 schemas, {files} migrations"


def _provision_database(tenant: Tenant, cell: Cell, settings: Settings) -> str:
    name = database_name(tenant.id)
    with routing.connect(cell, "superuser", autocommit=True, settings=settings) as connection:
        _ensure_login(connection, name, settings)
        with suppress(errors.DuplicateDatabase):
            connection.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))
    files = migrate_database(tenant.id, cell, settings)
    register_in_database(tenant, cell, settings)
    return f"database, {files} migrations"


def register_in_database(tenant: Tenant, cell: Cell, settings: Settings) -> None:
    """Write the tenant and its plan into its own database as they are, and give its login what the plan allows.

    Idempotent: also how a changed plan, name or subdomain gets there.
    """
    name = database_name(tenant.id)
    with routing.connect(cell, "superuser", autocommit=True, settings=settings) as connection:
        row = connection.execute("select to_jsonb(p) from saas.plans as p where p.plan = %s", (tenant.plan,)).fetchone()
        plan: dict[str, Any] = row[0] if row else {}
        connection.execute(
            sql.SQL("alter role {} connection limit {}").format(
                sql.Identifier(name), sql.Literal(plan.get("max_connections") or DEFAULT_CONNECTIONS)
            )
        )
        # In its own database only: the setting goes with the database.
        connection.execute(
            sql.SQL("alter role {} in database {} set statement_timeout = {}").format(
                sql.Identifier(name),
                sql.Identifier(name),
                sql.Literal(plan.get("statement_timeout_ms") or DEFAULT_STATEMENT_TIMEOUT_MS),
            )
        )
    with placement(tenant.id, cell, "database").connect("loader", settings) as own:
        own.execute(
            (_SQL / "register_in_database.sql").read_text(),
            {
                "plan": Jsonb(plan),
                "id": tenant.id,
                "name": tenant.name,
                "subdomain": tenant.subdomain,
                "plan_name": tenant.plan,
                "status": tenant.status,
            },
        )


def _ensure_login(connection: Connection, login: str, settings: Settings) -> None:
    found = connection.execute("select true from pg_catalog.pg_roles where rolname = %s", (login,)).fetchone()
    if found is None:
        with suppress(errors.DuplicateObject):
            connection.execute(
                sql.SQL(
                    "create role {} login nosuperuser nocreatedb nocreaterole nobypassrls connection limit {}"
                ).format(sql.Identifier(login), sql.Literal(DEFAULT_CONNECTIONS))
            )
    credentials.set_password(connection, login, tenant_logins.ensure_password(login, settings))
