"""Creating tenants: registered once over all cells, provisioned in their model, opened last.

Idempotent: a tenant that is there as asked is returned as it is; one that is there otherwise is a conflict that is
named. A killed creation leaves a tenant that is ``provisioning``, and asking again goes on with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from orchestration.cells import endpoints, routing
from orchestration.cells.journal import Progress, Step, run_steps, silent
from orchestration.cells.regions import CELLS, Cell
from orchestration.settings import Settings, get_settings
from orchestration.synthetic.markets import MARKETS
from orchestration.tenancy import registry
from orchestration.tenancy.placement import placement_of
from orchestration.tenancy.provisioning import provision
from orchestration.tenancy.registry import MODELS, SUBDOMAIN, Model, Status, Tenant, TenantError
from orchestration.tenancy.steps import operation
from orchestration.tenancy.suspension import pass_fence, set_status

DEFAULT_PLAN = "free"

# As saas.tenants checks them.
MOST_NAME_CHARACTERS = 100

# Host names are unique over all cells: whoever gives one out holds this lock in each.
_HOSTS_LOCK = "tenant hosts"
_LOCK_TIMEOUT = "30s"

Connection = psycopg.Connection[TupleRow]

_SQL = Path(__file__).parent / "sql"


class InvalidTenantError(TenantError, ValueError):
    """What was asked for cannot be a tenant: its name, subdomain, plan, model, currency or id."""


class TenantConflictError(TenantError):
    """A tenant with this id or subdomain is there already, and is another than was asked for."""


class HostsUnknownError(TenantError):
    """Whether a subdomain is free cannot be said while a cell does not answer."""


@dataclass(frozen=True)
class TenantSpec:
    """A tenant to be made.

    Attributes:
        name: for people, 1 to 100 characters.
        subdomain: host name label: lower case letters, digits, hyphens, at most 50.
        plan: subscription tier.
        model: where its rows are to live; None for the plan's default.
        id: the tenant's id; None for a new one.
        currency: ISO 4217, of its shop; None for the cell's.
    """

    name: str
    subdomain: str
    plan: str = DEFAULT_PLAN
    model: Model | None = None
    id: UUID | None = None
    currency: str | None = None


@dataclass(frozen=True)
class Created:
    """What became of a spec: the tenant, and whether it was made now."""

    tenant: Tenant
    made: bool


def check_spec(spec: TenantSpec) -> None:
    """Refuse what cannot be a tenant, before any cell is asked.

    Raises:
        InvalidTenantError: names the part and what is needed.
    """
    if not 1 <= len(spec.name) <= MOST_NAME_CHARACTERS or not spec.name.isprintable() or not spec.name.strip():
        raise InvalidTenantError(
            f"name {_short(spec.name)} cannot be a tenant's: "
            f"1 to {MOST_NAME_CHARACTERS} printable characters are needed"
        )
    if not SUBDOMAIN.fullmatch(spec.subdomain):
        raise InvalidTenantError(
            f"subdomain {_short(spec.subdomain)} is no host name label: lower case letters, digits and inner hyphens, "
            "at most 50, are needed"
        )
    if registry.is_tenant_id(spec.subdomain):
        raise InvalidTenantError(f"subdomain {spec.subdomain!r} has the form of a tenant's id: choose another")
    if spec.model is not None and spec.model not in MODELS:
        raise InvalidTenantError(f"unknown model {_short(spec.model)}: one of {', '.join(MODELS)} is needed")
    if spec.currency is not None and not (
        len(spec.currency) == 3 and spec.currency.isascii() and spec.currency.isalpha() and spec.currency.isupper()
    ):
        raise InvalidTenantError(
            f"currency {_short(spec.currency)} is not of ISO 4217: three capital letters are needed"
        )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}…"


def create_tenant(
    cell: Cell,
    spec: TenantSpec,
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
) -> Created:
    """Make the tenant in ``cell``, or go on making it, or return it as it is there.

    Raises:
        InvalidTenantError: a part of the spec cannot be, or its plan does not exist; nothing was made.
        TenantConflictError: its id or subdomain is another tenant's, in whichever cell.
        HostsUnknownError: a cell does not answer, so nobody can say whether the subdomain is free.
        OperationError: another process is making it, or another operation of it is open.
    """
    return create_tenants(cell, [spec], settings, progress=progress)[0]


def create_tenants(
    cell: Cell,
    specs: Sequence[TenantSpec],
    settings: Settings | None = None,
    *,
    progress: Progress = silent,
) -> list[Created]:
    """Make many tenants: all are registered in one transaction, or none; see :func:`create_tenant`.

    Those of model shared are done then; the others are provisioned one by one.
    """
    settings = settings or get_settings()
    for spec in specs:
        check_spec(spec)
    _refuse_doubles(specs)
    created = _register(cell, specs, settings)
    return [
        each
        if each.tenant.status != "provisioning"
        else replace(each, tenant=_finish(each.tenant, _currency(cell, spec), settings, progress))
        for spec, each in zip(specs, created, strict=True)
    ]


def _currency(cell: Cell, spec: TenantSpec) -> str:
    return spec.currency or MARKETS[cell].currencies[0]


def _refuse_doubles(specs: Sequence[TenantSpec]) -> None:
    seen: set[object] = set()
    for spec in specs:
        for key in (spec.subdomain, spec.id):
            if key is not None and key in seen:
                raise TenantConflictError(
                    f"{str(key)!r} is asked for twice: each tenant needs a subdomain and id of its own"
                )
            seen.add(key)


def _finish(tenant: Tenant, currency: str, settings: Settings, progress: Progress) -> Tenant:
    """Provision a registered tenant and open it; what an earlier process has done is passed over."""

    def build() -> str:
        return provision(tenant, tenant.model, tenant.cell, settings)

    def settle() -> None:
        place = placement_of(tenant)
        with place.connect("loader", settings) as connection:
            pass_fence(connection, tenant.id)
            _insert_settings(connection, place.relation("ecommerce.store_settings"), tenant.cell, {tenant.id: currency})

    def open_it() -> None:
        set_status(tenant, "active", settings)

    steps = [Step("provision", build), Step("settings", settle), Step("open", open_it)]
    with operation(tenant.cell, tenant.id, "create", {"model": tenant.model}, settings=settings) as entry:
        run_steps(entry, steps, progress)
    return replace(tenant, status="active")


@contextmanager
def _hosts(cell: Cell, settings: Settings) -> Iterator[dict[Cell, Connection]]:
    """Hold the right to give out host names: a transaction in every cell, in a fixed order."""
    with ExitStack() as stack:
        connections: dict[Cell, Connection] = {}
        for each in CELLS:
            try:
                connection = stack.enter_context(
                    routing.connect(each, "loader", application_name="capstone tenant create", settings=settings)
                )
            except (routing.CellUnavailableError, endpoints.EndpointError) as error:
                if each == cell:
                    raise
                raise HostsUnknownError(
                    f"cell {each!r} does not answer, so nobody can say whether a tenant there has the subdomain "
                    f"({error}). Nothing was made: repeat the command when it runs"
                ) from None
            connection.execute("select set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            try:
                connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (_HOSTS_LOCK,))
            except errors.LockNotAvailable:
                raise HostsUnknownError(
                    f"another process has been registering tenants in cell {each!r} for {_LOCK_TIMEOUT}: "
                    "repeat the command"
                ) from None
            connections[each] = connection
        yield connections


def _register(cell: Cell, specs: Sequence[TenantSpec], settings: Settings) -> list[Created]:
    with _hosts(cell, settings) as connections:
        connection = connections[cell]
        models = _models(connection, cell, specs)
        wanted = [
            Tenant(spec.id or uuid4(), cell, spec.name, spec.subdomain, spec.plan, _initial(model), model)
            for spec, model in zip(specs, models, strict=True)
        ]
        for other, elsewhere in connections.items():
            if other != cell:
                _refuse_taken(elsewhere, other, specs)
        currencies = [_currency(cell, spec) for spec in specs]
        made = _insert(connection, cell, wanted, currencies)
        there = {each.subdomain: each for each in _there(connection, cell, wanted, made)}
        created = [
            Created(tenant, True)
            if tenant.id in made
            else Created(_same(spec, tenant, there.get(tenant.subdomain)), False)
            for spec, tenant in zip(specs, wanted, strict=True)
        ]
        connection.commit()
    return created


def _initial(model: Model) -> Status:
    return "active" if model == "shared" else "provisioning"


def _models(connection: Connection, cell: Cell, specs: Sequence[TenantSpec]) -> list[Model]:
    plans: dict[str, Model] = dict(
        connection.execute("select plan, default_model from saas.plans order by monthly_price")
    )
    for spec in specs:
        if spec.plan not in plans:
            known = (
                f"cell {cell!r} has {', '.join(plans)}"
                if plans
                else f"cell {cell!r} has no plans yet, they come with its seeds: `capstone materialize {cell}/seeds`"
            )
            raise InvalidTenantError(f"plan {_short(spec.plan)} does not exist: {known}")
    return [spec.model or plans[spec.plan] for spec in specs]


def _refuse_taken(connection: Connection, cell: Cell, specs: Sequence[TenantSpec]) -> None:
    known = connection.execute("select to_regclass('saas.tenants') is not null").fetchone()
    if known is None or not known[0]:
        # A cell before its first migration has no tenants.
        return
    row = connection.execute(
        "select id, subdomain from saas.tenants where subdomain = any(%s) or id = any(%s) limit 1",
        ([spec.subdomain for spec in specs], [spec.id for spec in specs if spec.id is not None]),
    ).fetchone()
    if row is not None:
        raise TenantConflictError(
            f"cell {cell!r} has a tenant with the subdomain {row[1]!r} and the id {row[0]}: hosts and ids are unique "
            "over all cells. Choose others, or move that tenant with `capstone tenant move`"
        )


def _insert(connection: Connection, cell: Cell, wanted: Sequence[Tenant], currencies: Sequence[str]) -> set[UUID]:
    # Nobody can have fenced a tenant that is not there yet; other tenants' fences are not its concern.
    connection.execute("select set_config('app.fence_pass', 'new tenants', true)")
    made = {
        row[0]
        for row in connection.execute(
            (_SQL / "insert_tenants.sql").read_text(),
            {
                "ids": [tenant.id for tenant in wanted],
                "names": [tenant.name for tenant in wanted],
                "subdomains": [tenant.subdomain for tenant in wanted],
                "plans": [tenant.plan for tenant in wanted],
                "models": [tenant.model for tenant in wanted],
                "statuses": [tenant.status for tenant in wanted],
            },
        )
    }
    # The shops of the others have their settings where their rows are going to live.
    shops = {
        tenant.id: currency
        for tenant, currency in zip(wanted, currencies, strict=True)
        if tenant.id in made and tenant.model == "shared"
    }
    _insert_settings(connection, sql.Identifier("ecommerce", "store_settings"), cell, shops)
    return made


def _insert_settings(
    connection: Connection, relation: sql.Identifier, cell: Cell, currencies: Mapping[UUID, str]
) -> None:
    market = MARKETS[cell]
    connection.execute(
        sql.SQL((_SQL / "insert_store_settings.sql").read_text()).format(relation=relation),
        {
            "ids": list(currencies),
            "currencies": list(currencies.values()),
            "tax_rate": Decimal(str(market.tax_rate)),
            "shipping_amount": Decimal(market.shipping_cents) / 100,
        },
    )


def _there(connection: Connection, cell: Cell, wanted: Sequence[Tenant], made: set[UUID]) -> Iterator[Tenant]:
    for tenant in wanted:
        if tenant.id not in made:
            found = registry.of_subdomain(connection, cell, tenant.subdomain)
            if found is not None:
                yield found


def _same(spec: TenantSpec, wanted: Tenant, found: Tenant | None) -> Tenant:
    """Return the tenant that is there, if it is the one that was asked for."""
    if found is None:
        raise TenantConflictError(
            f"the id {wanted.id} is that of another tenant of cell {wanted.cell!r}: leave it out for a new one"
        )
    differ = [
        f"{what} {_short(there)}, not {_short(asked)}"
        for what, there, asked in (
            ("id", str(found.id), str(spec.id or found.id)),
            ("name", found.name, spec.name),
            ("plan", found.plan, spec.plan),
            ("model", found.model, spec.model or found.model),
        )
        if there != asked
    ]
    if differ:
        raise TenantConflictError(
            f"cell {found.cell!r} has a tenant with the subdomain {found.subdomain!r} already, with "
            f"{'; '.join(differ)}: choose another subdomain, or ask for it as it is"
        )
    return found
