"""Where a tenant's operational rows live: which database, which schemas, and as whom one connects there.

The one place that knows names: the shared schemas, ``t_<32 hex>_saas`` and ``t_<32 hex>_ecommerce``, the database
``tenant_<32 hex>`` and the login of the same name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from pydantic import SecretStr

from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import Role
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Relation, load_relations
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import tenant_logins
from orchestration.tenancy.registry import Model, Tenant, TenantError

# The domains whose tables a tenant writes. Everything else of a tenant, events and marts, stays shared.
OperationalDomain = Literal["saas", "ecommerce"]
OPERATIONAL_DOMAINS: tuple[OperationalDomain, ...] = get_args(OperationalDomain)

_SCHEMA = re.compile(r"t_([0-9a-f]{32})_(saas|ecommerce)")


@lru_cache(maxsize=1)
def operational_relations() -> tuple[Relation, ...]:
    """Return the tables whose rows tenants write, referenced ones before those that refer to them.

    What a tenant may only read of ``saas`` and ``ecommerce`` (itself, its fence, plans, counters) is the operator's
    and stays shared in every model.
    """
    return tuple(
        each
        for each in load_relations()
        if each.kind == "tenant"
        and each.relkind == "table"
        and each.schema in OPERATIONAL_DOMAINS
        and "insert" in each.app
    )


@lru_cache(maxsize=1)
def operators_relations() -> tuple[Relation, ...]:
    """Return the declared relations of the same domains that stay shared, in the file's order."""
    own = {each.name for each in operational_relations()}
    return tuple(each for each in load_relations() if each.schema in OPERATIONAL_DOMAINS and each.name not in own)


def schema_names(tenant_id: UUID) -> dict[OperationalDomain, str]:
    """Return the schemas that a tenant of model schema has."""
    return {domain: f"t_{tenant_id.hex}_{domain}" for domain in OPERATIONAL_DOMAINS}


def tenant_of_schema(schema: str) -> UUID | None:
    """Return the tenant whose own schema has this name, None if it is no tenant's."""
    match = _SCHEMA.fullmatch(schema)
    return UUID(match[1]) if match else None


def database_name(tenant_id: UUID) -> str:
    """Return the database, and the login, that a tenant of model database has."""
    return f"tenant_{tenant_id.hex}"


@dataclass(frozen=True)
class Placement:
    """Where the operational rows of one tenant live.

    Attributes:
        tenant_id: the tenant.
        cell: whose server holds them.
        model: shared, schema or database.
        database: name of the database; None for the cell's own.
        schemas: the schema of each operational domain.
    """

    tenant_id: UUID
    cell: Cell
    model: Model
    database: str | None
    schemas: Mapping[OperationalDomain, str]

    def relation(self, name: str) -> sql.Identifier:
        """Return where the relation declared as ``name`` (``schema.relation``) is for this tenant.

        What is not operational (``saas.plans``, ``geo.users``, marts) is where it is declared.

        Raises:
            TenantError: nothing of that name is declared.
        """
        if any(each.name == name for each in operational_relations()):
            domain, table = name.split(".")
            return sql.Identifier(self.schemas["saas" if domain == "saas" else "ecommerce"], table)
        if any(each.name == name for each in load_relations()):
            return sql.Identifier(*name.split("."))
        raise TenantError(f"relation {name!r} is not declared: sql/relations.yml names those there are")

    def dsn(self, role: Role = "app", settings: Settings | None = None) -> str:
        """Return the connection URL of ``role`` there; it holds a password, so never log it.

        Role app is, in a database of the tenant's own, the tenant's own login: app may not enter it.

        Raises:
            EndpointError: the address or the password is not known.
        """
        settings = settings or get_settings()
        if self.database is not None and role == "app":
            return tenant_logins.dsn(self.cell, self.database, settings)
        return endpoints.dsn(self.cell, role, database=self.database, settings=settings)

    def connect(
        self, role: Role = "app", settings: Settings | None = None, *, autocommit: bool = False
    ) -> psycopg.Connection[TupleRow]:
        """Open a connection to where the rows live, as ``role``; see :meth:`dsn`.

        Raises:
            CellUnavailableError: the server does not answer or refuses the login.
        """
        settings = settings or get_settings()
        if self.database is not None and role == "app":
            return tenant_logins.connect(self.cell, self.database, settings, autocommit=autocommit)
        return routing.connect(self.cell, role, database=self.database, autocommit=autocommit, settings=settings)

    def settings(self, settings: Settings | None = None) -> Settings:
        """Return settings whose cell is the database of this placement, for what only takes a cell."""
        settings = settings or get_settings()
        if self.database is None:
            return settings
        dsn = endpoints.dsn(self.cell, "superuser", database=self.database, settings=settings)
        return settings.model_copy(update={f"dsn_{self.cell}": SecretStr(dsn)})


def placement(tenant_id: UUID, cell: Cell, model: Model) -> Placement:
    """Return where the rows of a tenant are, or would be, in ``cell`` in this model."""
    shared: dict[OperationalDomain, str] = {domain: domain for domain in OPERATIONAL_DOMAINS}
    return Placement(
        tenant_id=tenant_id,
        cell=cell,
        model=model,
        database=database_name(tenant_id) if model == "database" else None,
        schemas=schema_names(tenant_id) if model == "schema" else shared,
    )


def placement_of(tenant: Tenant) -> Placement:
    """Return where the operational rows of ``tenant`` live."""
    return placement(tenant.id, tenant.cell, tenant.model)
