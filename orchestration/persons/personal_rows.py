"""Which rows are about a person: one entry per relation, in the order in which rows refer to each other.

Goes by the declarations of ``sql/relations.yml``: a test fails when a relation with personal columns is neither here
nor excused with a reason. Conditions name a tenant, the person's numbers in it, and nothing that a person can write.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from orchestration.cells.regions import Cell
from orchestration.persons.statements import statement
from orchestration.tenancy.registry import Model

# The person's own rows, in every database that knows the person.
OF_PERSON: Mapping[str, LiteralString] = {
    "geo.users": "id = {person}",
    "geo.eu_user_data": "user_id = {person}",
}

_OWN_ORDERS: LiteralString = (
    "select o.id from {ecommerce}.orders as o where o.tenant_id = {tenant} and o.user_id = any({shoppers})"
)

# What the person is and did as shopper or member of staff of a tenant, where the tenant's operational rows are.
OF_ACCOUNT: Mapping[str, LiteralString] = {
    "saas.users": "tenant_id = {tenant} and id = any({members})",
    "saas.projects": "tenant_id = {tenant} and created_by = any({members})",
    "ecommerce.users": "tenant_id = {tenant} and id = any({shoppers})",
    "ecommerce.addresses": "tenant_id = {tenant} and user_id = any({shoppers})",
    "ecommerce.carts": "tenant_id = {tenant} and user_id = any({shoppers})",
    "ecommerce.cart_items": "tenant_id = {tenant} and cart_id in ("
    "select c.id from {ecommerce}.carts as c where c.tenant_id = {tenant} and c.user_id = any({shoppers}))",
    "ecommerce.orders": "tenant_id = {tenant} and user_id = any({shoppers})",
    "ecommerce.order_items": "tenant_id = {tenant} and order_id in (" + _OWN_ORDERS + ")",
    "ecommerce.reviews": "tenant_id = {tenant} and user_id = any({shoppers})",
    "ecommerce.payments": "tenant_id = {tenant} and order_id in (" + _OWN_ORDERS + ")",
}

# Events of a visit before the shopper logged in are the person's too, unless somebody else logged in during that visit.
_EVENTS = statement("events_of_user")
_OF_USER: LiteralString = "tenant_id = {tenant} and user_id = any({shoppers})"

# What counts of persons are made of: by the person, or by the shopper's number where no shopper's record names one.
_OF_CONTRIBUTOR: LiteralString = (
    "tenant_id = {tenant} and (contributor = ({person})::text"
    " or contributor in (select {tenant}::text || '/' || s.number from unnest({shoppers}) as s (number)))"
)

# In the cell's database, whatever the tenant's model. The ids before the events by which they are found.
OF_USER: Mapping[str, str] = {
    "analytics.event_ids": statement("event_ids_of_user"),
    "analytics.events": _EVENTS,
    "analytics.events_history": _EVENTS,
    "analytics.user_days": _OF_USER,
    "analytics.user_days_kept": "tenant_id = {tenant} and user_ids && {shoppers}",
    "analytics.page_users_hourly": _OF_USER,
    "analytics.page_users_hourly_kept": "tenant_id = {tenant} and user_ids && {shoppers}",
    "intermediate.int_user_periods": _OF_USER,
    "intermediate.int_first_touch": _OF_USER,
    "intermediate.int_event_sequences": _OF_USER,
    "intermediate.int_funnel_paths": _OF_USER,
    "intermediate.int_sessions": _OF_USER,
    "intermediate.int_funnel_contributions": _OF_CONTRIBUTOR,
    "intermediate.int_cohort_contributions": _OF_CONTRIBUTOR,
    "intermediate.int_revenue_contributions": _OF_CONTRIBUTOR,
}

# Counted from the events, and again when those go: nothing is deleted here.
ROLLUPS = frozenset(
    {
        "analytics.user_days",
        "analytics.user_days_kept",
        "analytics.page_users_hourly",
        "analytics.page_users_hourly_kept",
    }
)

# dbt builds them whole at each run: what has come back in their sources and was taken out there is not in them.
BUILT_WHOLE = frozenset(name for name in OF_USER if name.endswith("_contributions"))

# Declared personal, and no row of it is one person's: why.
NOBODYS: Mapping[str, str] = {
    "ecommerce.inventory_movements": "stock of the shop, by order: orders are kept, under a shopper that is nobody",
    "analytics.page_views_daily": "views per page and day of all shoppers together; counted again without the erased",
    "analytics.page_views_daily_kept": "what analytics.page_views_daily is kept in",
    "geo.canaries": "people who do not exist; one goes with its record",
    "platform.parked_rows": "holds rows only while a move is open, during which nothing else can be asked for",
    "platform.person_operations": "names the person only while the operation is open, and nobody once it has ended",
    "platform.former_persons": "a salted digest of who was erased or moved: what keeps a load from bringing them back",
    "platform.person_consents": "consent to a move, under a salted digest: kept as proof that it was given",
    "analytics.former_users": "digests of erased shoppers' numbers: what keeps late events from bringing them back",
}

# The same rows once more, in another form: not part of a bundle.
KEPT_TWICE = frozenset({"analytics.user_days_kept", "analytics.page_users_hourly_kept"})


@dataclass(frozen=True)
class Place:
    """Where operational rows are: a database of a cell and its schemas for them.

    Attributes:
        cell: the cell.
        database: a tenant's own; None for the cell's.
        saas, ecommerce: schemas of staff and of shops.
    """

    cell: Cell
    database: str | None
    saas: str
    ecommerce: str

    @property
    def is_shared(self) -> bool:
        """Whether they are the schemas that tenants of model shared live in, of the cell's own database."""
        return self.database is None and self.ecommerce == "ecommerce"

    def identifier(self, relation: str) -> sql.Identifier:
        """Return where the relation of this declared name is."""
        schema, table = relation.split(".")
        return sql.Identifier({"saas": self.saas, "ecommerce": self.ecommerce}.get(schema, schema), table)


@dataclass(frozen=True)
class Account:
    """What a person is in one tenant.

    Attributes:
        tenant_id: the tenant.
        model: where the tenant keeps its rows.
        place: where these are; for a tenant with a place of its own also the shared one, into which they are landed.
        shoppers: the person's numbers as shopper.
        members: the person's ids as member of staff.
    """

    tenant_id: UUID
    model: Model
    place: Place
    shoppers: tuple[int, ...]
    members: tuple[UUID, ...]

    @property
    def is_landed(self) -> bool:
        """Whether it is the copy that landing makes for dbt."""
        return self.model != "shared" and self.place.is_shared


def condition(relation: str, person_id: UUID, account: Account | None = None) -> sql.Composed:
    """Return the condition that selects the person's rows of a relation, by the person or in an account."""
    text = (OF_PERSON if account is None else {**OF_ACCOUNT, **OF_USER})[relation]
    names: dict[str, sql.Composable] = {"person": sql.Literal(person_id)}
    if account is not None:
        names |= {
            "tenant": sql.Literal(account.tenant_id),
            "shoppers": sql.SQL("{}::bigint[]").format(sql.Literal(list(account.shoppers))),
            "members": sql.SQL("{}::uuid[]").format(sql.Literal(list(account.members))),
            "ecommerce": sql.Identifier(account.place.ecommerce),
            "events": sql.Identifier(*relation.split(".")),
        }
    return sql.SQL(text).format(**names)
