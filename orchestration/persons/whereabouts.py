"""Where a person is: the cells, tenants and databases that know them, as shopper, as staff, or as a record alone."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.stores import stores
from orchestration.persons.anonymous import is_anonymous
from orchestration.persons.personal_rows import OF_ACCOUNT, Account, Place
from orchestration.settings import Settings
from orchestration.tenancy.holdings import connect, statement
from orchestration.tenancy.placement import database_name, schema_names, tenant_of_schema
from orchestration.tenancy.registry import Tenant, tenants
from orchestration.tenancy.steps import TENANTS, open_operation_of

Connection = psycopg.Connection[Any]

# Rows of a tenant that name a person, and the column that is the person's number there.
_TABLES = ("saas.users", "ecommerce.users")


class PersonError(ValueError):
    """What was asked of a person cannot be done; the message says why and what to do."""


class UnknownPersonError(PersonError):
    """No cell knows the person."""


@dataclass(frozen=True)
class Record:
    """A row of ``geo.users``: where it is, and the region of record that it says."""

    cell: Cell
    database: str | None
    region: str


@dataclass(frozen=True)
class Whereabouts:
    """Everywhere that a person is.

    Attributes:
        person_id: the person.
        records: the person's rows of ``geo.users``, those of cells before those of tenants' databases.
        accounts: what the person is in each tenant.
    """

    person_id: UUID
    records: tuple[Record, ...]
    accounts: tuple[Account, ...]

    @property
    def region(self) -> str:
        """The region of record. Where records disagree, the one that lets the person live in the fewest cells."""
        regions = {each.region for each in self.records}
        return "eu" if "eu" in regions else min(regions)

    @property
    def home(self) -> Cell:
        """The cell that keeps the journal, and the bundle: the region's own where the person is there."""
        cells = [each.cell for each in self.records]
        return next((cell for cell in cells if cell == self.region), cells[0])

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells in which something of the person is."""
        here = {each.cell for each in self.records} | {each.place.cell for each in self.accounts}
        return tuple(cell for cell in CELLS if cell in here)

    def databases(self, cell: Cell) -> tuple[str | None, ...]:
        """Return the databases of the cell that know the person, tenants' own first, the cell's own last."""
        known = {each.database for each in self.records if each.cell == cell}
        known |= {each.place.database for each in self.accounts if each.place.cell == cell}
        return (*sorted(name for name in known if name is not None), None)

    def of(self, cell: Cell, database: str | None) -> tuple[Account, ...]:
        """Return the accounts in one database."""
        return tuple(each for each in self.accounts if (each.place.cell, each.place.database) == (cell, database))

    def joined(self, other: "Whereabouts") -> "Whereabouts":
        """Return what either says: where the person was when an operation began, and where they are now."""
        records = dict.fromkeys((*self.records, *other.records))
        accounts = dict.fromkeys((*self.accounts, *other.accounts))
        return Whereabouts(self.person_id, tuple(records), tuple(accounts))

    def to_json(self) -> dict[str, Any]:
        """Return it for the journal of an open operation: ids and names of places."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        del content["person_id"]
        return content

    @classmethod
    def from_json(cls, person_id: UUID, content: Mapping[str, Any]) -> "Whereabouts":
        """Return what :meth:`to_json` made."""
        accounts = (
            Account(
                UUID(each["tenant_id"]),
                each["model"],
                Place(**each["place"]),
                tuple(each["shoppers"]),
                tuple(UUID(member) for member in each["members"]),
            )
            for each in content["accounts"]
        )
        return cls(person_id, tuple(Record(**each) for each in content["records"]), tuple(accounts))

    @property
    def tenants(self) -> tuple[UUID, ...]:
        """The tenants that the person is something in, each once."""
        return tuple(dict.fromkeys(each.tenant_id for each in self.accounts))


def parse_person(which: str) -> UUID:
    """Return a person's id.

    Raises:
        PersonError: it has not the form of one. What was given is not repeated: it may be an address or a name.
    """
    try:
        found = UUID(which)
    except ValueError:
        raise PersonError("a person is named by id, a UUID; by e-mail address with --email-from and --cell") from None
    if str(found) != which.lower():
        raise PersonError("a person's id is written as 8-4-4-4-12 hexadecimal digits")
    return found


def locate(person_id: UUID, settings: Settings) -> Whereabouts:
    """Look for a person in every cell, in tenants' schemas and databases too.

    Raises:
        UnknownPersonError: no cell knows the person, or it is the record that stands for nobody.
        CellUnavailableError: a cell does not answer; it could know the person.
    """
    if is_anonymous(person_id):
        raise UnknownPersonError("this is the record that orders of erased persons refer to: it is nobody's")
    records: list[Record] = []
    accounts: list[Account] = []
    for cell in CELLS:
        models = {each.id: each for each in tenants(cell, settings)}
        for database, own in _databases(models.values()):
            with connect(cell, "auditor", database, settings, verb="person") as connection:
                row = connection.execute("select region from geo.users where id = %s", (person_id,)).fetchone()
                if row is not None:
                    records.append(Record(cell, database, row[0]))
                accounts += _accounts(connection, person_id, cell, database, [own] if own else list(models.values()))
    if not records:
        raise UnknownPersonError(f"no cell knows person {person_id}: {', '.join(CELLS)} were asked")
    return Whereabouts(person_id, tuple(sorted(records, key=lambda each: each.database is not None)), tuple(accounts))


def _databases(known: Iterable[Tenant]) -> Iterator[tuple[str | None, Tenant | None]]:
    yield None, None
    for tenant in known:
        if tenant.model == "database" and tenant.status != "provisioning":
            yield database_name(tenant.id), tenant


def places(connection: Connection, cell: Cell, database: str | None) -> list[Place]:
    """Return the places of a database in which rows name persons: the shared schemas and those of single tenants."""
    found = [Place(cell, database, "saas", "ecommerce")]
    schemas = {schema for schema, _ in connection.execute(statement("person_references"))}
    for tenant in sorted({each for each in map(tenant_of_schema, schemas) if each is not None}):
        names = schema_names(tenant)
        found.append(Place(cell, database, names["saas"], names["ecommerce"]))
    return found


def _accounts(
    connection: Connection, person_id: UUID, cell: Cell, database: str | None, known: Sequence[Tenant]
) -> list[Account]:
    models = {each.id: each.model for each in known}
    found: list[Account] = []
    for place in places(connection, cell, database):
        numbers: dict[UUID, tuple[list[UUID], list[int]]] = {}
        for position, table in enumerate(_TABLES):
            query = sql.SQL("select tenant_id, id from {} where person_id = {} order by id").format(
                place.identifier(table), sql.Literal(person_id)
            )
            for tenant_id, number in connection.execute(query):
                numbers.setdefault(tenant_id, ([], []))[position].append(number)
        for tenant_id, (members, shoppers) in sorted(numbers.items()):
            model = models.get(tenant_id, "shared")
            found.append(Account(tenant_id, model, place, tuple(shoppers), tuple(members)))
    return found


def require_settled(found: Whereabouts, settings: Settings) -> None:
    """Fail if a tenant of the person is being moved, restored or erased: its rows may be in two places.

    Raises:
        PersonError: names the tenant and what is being done to it.
        CellUnavailableError: a cell does not answer.
    """
    for account in found.accounts:
        begun = open_operation_of(account.place.cell, account.tenant_id, settings)
        if begun is not None and begun.verb not in TENANTS.reading_verbs:
            raise PersonError(
                f"tenant {account.tenant_id}, of which the person is a shopper or a member, is in the middle of "
                f"{begun.verb!r}: end that first, `capstone tenant show` says how"
            )


def find_by_email(email: str, cell: Cell, settings: Settings) -> UUID:
    """Return the one person of a cell who is known by this address, in whatever tenant; letters' case does not count.

    Raises:
        UnknownPersonError: nobody of the cell has it. The address is not repeated.
        PersonError: more than one person has it; names their ids.
        CellUnavailableError: the cell does not answer.
    """
    wanted = email.strip().lower()
    if "@" not in wanted or not wanted.isprintable():
        raise PersonError("what was given as e-mail address is none")
    found: set[UUID] = set()
    for database, _ in _databases(tenants(cell, settings)):
        with connect(cell, "auditor", database, settings, verb="person") as connection:
            sources = [(sql.Identifier("geo", "users"), "id")]
            for place in places(connection, cell, database):
                sources += [(place.identifier(table), "person_id") for table in _TABLES]
            for source, column in sources:
                query = sql.SQL("select {} from {} where lower(email) = %s").format(sql.Identifier(column), source)
                found |= {row[0] for row in connection.execute(query, (wanted,)) if not is_anonymous(row[0])}
    if not found:
        raise UnknownPersonError(f"nobody in cell {cell!r} has this e-mail address; other cells are asked with --cell")
    if len(found) > 1:
        ids = ", ".join(sorted(map(str, found)))
        raise PersonError(f"{len(found)} persons of cell {cell!r} have this e-mail address: give the id of one: {ids}")
    return found.pop()


def store_of(relation: str, place: Place | None, database: str | None) -> str:
    """Return the name of the store that rows of a relation are of.

    Args:
        relation: by its declared name.
        place: of operational rows; None for the person's own and for what lies in the cell's database.
        database: a tenant's own; None for the cell's.
    """
    if database is not None:
        return "tenant databases"
    if place is not None and not place.is_shared and relation in OF_ACCOUNT:
        return "tenant schemas"
    for each in stores():
        if each.medium == "tables" and (relation in each.where or relation.split(".", maxsplit=1)[0] in each.where):
            return each.name
    raise PersonError(f"relation {relation!r} is in no store of orchestration/cells/stores.py")
