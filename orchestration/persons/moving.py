"""Moving a person to another region of record, with their consent: parked here, arrived there, and then cleared here.

At every instant the person is wholly in the old cell or wholly in the new one: parking is one transaction per database
of the old cell, arriving is one of the new, and one of each tenant's database that an account goes into. Parked,
nobody can write them. Until they have arrived the move can be rolled back; from then on it only goes forward. The
journal is in the cell that is left; the new one has a mark of the arrival.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from orchestration.cells import routing
from orchestration.cells.journal import Operation, Progress, Step, operation, run_steps, silent
from orchestration.cells.regions import CELLS, REGIONS, Cell
from orchestration.persons import bundle, carrying, consents, former, parking
from orchestration.persons.carrying import CarriedAccount
from orchestration.persons.consents import Consent
from orchestration.persons.digests import person_digest
from orchestration.persons.erasing import (
    chunks_of,
    clear_redis,
    compact_cell,
    delete_events,
    delete_model_rows,
    land_again,
    record_gone,
    remains,
    settle_cell,
)
from orchestration.persons.leaving import Left
from orchestration.persons.live_entries import users_of
from orchestration.persons.operations import NOBODY, PERSONS, end, open_in
from orchestration.persons.personal_rows import OF_ACCOUNT
from orchestration.persons.statements import statement
from orchestration.persons.whereabouts import PersonError, Whereabouts, locate, require_settled
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive, compaction
from orchestration.tenancy.derived_rows import refresh_rollups
from orchestration.tenancy.holdings import Connection, connect, edition_of
from orchestration.tenancy.placement import Placement, placement
from orchestration.tenancy.registry import Tenant, find
from orchestration.tenancy.row_replacement import writing

STEPS = ("consent", "close", "bundle", "park", "arrive", "clear", "compact", "prove", "forget")
# Until this has worked the person is in the old cell, and the move can be rolled back.
_ARRIVAL = "arrive"


class PersonMoveError(PersonError):
    """A person cannot be moved as asked; the message says why, and where the person is."""


class PersonResidencyError(PersonMoveError):
    """A person of that region may not live in that cell."""


def move_person(
    person_id: UUID,
    *,
    to_region: str | None = None,
    to_cell: Cell | None = None,
    consent: Consent | None = None,
    into: Mapping[UUID, UUID] | None = None,
    rollback: bool = False,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Whereabouts:
    """Move a person, go on with a move that was killed, or roll one back; return where the person is then.

    Args:
        person_id: whom.
        to_region: the new region of record; None for the present one. Nothing needs to be given to go on with a move.
        to_cell: where to live; None for the region's own cell.
        consent: to the new region of record; needed when it changes.
        into: tenant of the old cell -> tenant of the new: the account as shopper is carried over, with its addresses,
            its carts and its reviews of what is sold there too.
            All other accounts in the cells that are left are closed.
        rollback: give the open move up; possible until the person has arrived.
        settings: which platform.
        progress: told of every step.

    Raises:
        UnknownPersonError: no cell knows the person.
        PersonResidencyError: people of that region may not live there.
        PersonMoveError: there is nothing to move, nothing to roll back, no consent, or an account cannot be carried.
        OperationError: another operation on the person is open.
        CompactionError: somebody who may have read the person's rows goes on for ten minutes; names the process.
        CellUnavailableError, LiveEntriesError: a cell, or its Redis, does not answer; repeat when it does.
    """
    settings = settings or get_settings()
    begun = open_in(person_id, "move", settings)
    if begun is not None:
        home, arguments, facts = begun
        found = Whereabouts.from_json(person_id, facts["found"]) if "found" in facts else locate(person_id, settings)
        _require_same(arguments, to_region, to_cell, into)
    elif rollback:
        raise PersonMoveError(f"person {person_id} is not being moved: there is nothing to roll back")
    else:
        found = locate(person_id, settings)
        home = found.home
        arguments = _asked(found, to_region, to_cell, consent, into or {})
        _require_possible(found, arguments, settings)
    if begun is None:
        require_settled(found, settings)
    # Also a cell that the step to come does not need: who asked is told where the person is when it is done.
    for cell in CELLS:
        routing.connect(cell, "auditor", settings=settings).close()
    with operation(PERSONS, home, person_id, "move", arguments, settings=settings) as running:
        move = _Move(found, arguments, running, settings)
        if rollback:
            return move.roll_back()
        run_steps(running, move.steps(), progress, close=False)
    return locate(person_id, settings)


def _asked(
    found: Whereabouts,
    to_region: str | None,
    to_cell: Cell | None,
    consent: Consent | None,
    into: Mapping[UUID, UUID],
) -> dict[str, Any]:
    wanted = found.region if to_region is None else to_region
    region = next((cell for cell in CELLS if cell == wanted), None)
    if region is None:
        raise PersonMoveError(f"there is no region of that name: one of {', '.join(REGIONS)} is needed, in lower case")
    target = to_cell or region
    if target not in REGIONS[region].residency:
        raise PersonResidencyError(
            f"people of region {region!r} may live in {', '.join(REGIONS[region].residency)}, not in {target!r}: "
            f"change the region of record, with the person's consent, by --to-region {target}"
        )
    if region == found.region and found.cells == (target,):
        raise PersonMoveError(f"person {found.person_id} lives in cell {target!r} and is of region {region!r} already")
    if region != found.region and consent is None:
        raise PersonMoveError(
            f"another region of record ({found.region} to {region}) needs the person's consent: --consent with the "
            "version of the policy that they were shown"
        )
    given = consent.checked() if consent is not None else None
    return {
        "to_region": region,
        "to_cell": target,
        "from_region": found.region,
        "consent": None
        if given is None
        else {"policy": given.policy_version, "at": given.given_at.isoformat(), "purpose": given.purpose},
        "into": {str(old): str(new) for old, new in into.items()},
    }


def _require_same(
    arguments: Mapping[str, Any], to_region: str | None, to_cell: Cell | None, into: Mapping[UUID, UUID] | None
) -> None:
    asked = {str(old): str(new) for old, new in into.items()} if into is not None else arguments["into"]
    if (
        to_region not in (None, arguments["to_region"])
        or to_cell not in (None, arguments["to_cell"])
        or asked != arguments["into"]
    ):
        raise PersonMoveError(
            f"the person is being moved to {arguments['to_cell']!r} (region {arguments['to_region']!r}) already: "
            "repeat that command, or roll it back with --rollback"
        )


def _require_possible(found: Whereabouts, arguments: Mapping[str, Any], settings: Settings) -> None:
    """Fail with the reason if the move cannot be made; changes nothing."""
    target: Cell = arguments["to_cell"]
    for old, new in arguments["into"].items():
        accounts = [each for each in found.accounts if str(each.tenant_id) == old and each.shoppers]
        if not any(each.place.cell != target for each in accounts):
            raise PersonMoveError(f"the person is no shopper of tenant {old} in a cell that is left: check --into")
        tenant = find(new, target, settings)
        if tenant.status != "active":
            raise PersonMoveError(f"tenant {tenant} is {tenant.status}: an account is carried into one that is open")
        if any(each.tenant_id == tenant.id and each.shoppers for each in found.accounts):
            raise PersonMoveError(f"the person is a shopper of tenant {tenant} already: leave it out of --into")


class _Move:
    """The steps of a move; each may run again."""

    def __init__(
        self, found: Whereabouts, arguments: Mapping[str, Any], running: Operation, settings: Settings
    ) -> None:
        self.found, self.running, self.settings = found, running, settings
        self.person_id, self.operation_id = found.person_id, running.operation_id
        self.target: Cell = arguments["to_cell"]
        self.region, self.old_region = str(arguments["to_region"]), str(arguments["from_region"])
        self.into = {UUID(old): UUID(new) for old, new in arguments["into"].items()}
        self.sources = tuple(cell for cell in found.cells if cell != self.target)
        given = arguments["consent"]
        self.consent = (
            None if given is None else Consent(given["policy"], datetime.fromisoformat(given["at"]), given["purpose"])
        )
        self.bundle = f"{archive.BUNDLE_PREFIX}{running.operation_id}"

    def steps(self) -> list[Step]:
        works: dict[str, Callable[[], str]] = {
            "consent": self.record_consent,
            "close": self.close,
            "bundle": self.write_bundle,
            "park": self.park,
            "arrive": self.arrive,
            "clear": self.clear,
            "compact": self.compact,
            "prove": self.prove,
            "forget": self.forget,
        }
        return [Step(name, works[name]) for name in STEPS]

    def record_consent(self) -> str:
        if "found" not in self.running.facts:
            self.running.remember(found=self.found.to_json())
        if self.consent is None:
            return "the region of record stays: none is needed"
        with connect(self.running.cell, "migrator", None, self.settings, verb="person move") as connection:
            self._record_consent(connection)
        return f"to policy {self.consent.policy_version}"

    def _record_consent(self, connection: Connection) -> None:
        if self.consent is not None:
            regions = (self.old_region, self.region)
            consents.record(connection, self.operation_id, self.person_id, self.consent, regions)

    def close(self) -> str:
        for cell in self.sources:
            record_gone(self.found, cell, "moved", self.settings)
            chunks = self.running.facts.get("chunks", {}) | {cell: chunks_of(self.found, cell, self.settings)}
            self.running.remember(chunks=chunks)
        return "no event and no load brings the person back to the old cell, no writer in flight"

    def write_bundle(self) -> str:
        """What does not go along is the person's to take: closed accounts, and what only the EU may hold."""
        if not self.sources:
            return "the person stays in the cell"
        home = self.running.cell
        if not (archive.directory("export", home, self.settings) / self.bundle).is_dir():
            # Of a killed run: the bundle is of one moment, before anything was parked.
            bundle.write(self.found, self.bundle, self.settings, home=home)
            archive.publish("export", home, self.bundle, self.settings)
        return f"{self.bundle}, for {bundle.KEPT_DAYS} days"

    def park(self) -> str:
        """Park the person in the cells that are left, tenants' databases first: the cell's own knows where they are."""
        left = Left()
        for cell in self.sources:
            for database in self.found.databases(cell):
                with self._writing(cell, database) as connection:
                    left += parking.park(connection, self.operation_id, self.found, cell, database)
        return f"{sum(left.gone.values())} rows parked, {sum(left.kept.values())} kept by law, without the person"

    def _writing(self, cell: Cell, database: str | None) -> Any:
        tenant = next((each.tenant_id for each in self.found.of(cell, database)), NOBODY)
        return writing(cell, "migrator", database, tenant, self.settings, verb="person move")

    def _parked(self, relation: str) -> list[str]:
        """Return the person's own parked rows of a relation, wherever they are parked."""
        found: list[str] = []
        for cell in self.sources:
            for database in self.found.databases(cell):
                with connect(cell, "auditor", database, self.settings, verb="person move") as connection:
                    found += parking.parked(connection, self.operation_id, relation)
        return found

    def _carried(self, tenant_id: UUID) -> CarriedAccount:
        """Return what of the account in a tenant that is left is parked and goes along."""
        rows: dict[str, list[str]] = {}
        variants: dict[int, str] = {}
        products: dict[int, str] = {}
        for account in self.found.accounts:
            place = account.place
            if account.tenant_id != tenant_id or account.is_landed or place.cell not in self.sources:
                continue
            with connect(place.cell, "auditor", place.database, self.settings, verb="person move") as connection:
                here = {name: parking.parked(connection, self.operation_id, name, account) for name in OF_ACCOUNT}
                rows = {name: rows.get(name, []) + found for name, found in here.items()}
                variants |= carrying.read_skus(connection, account, "product_variants", here["ecommerce.cart_items"])
                products |= carrying.read_skus(connection, account, "products", here["ecommerce.reviews"])
        return carrying.read(lambda relation: rows.get(relation, []), variants, products)

    def arrive(self) -> str:
        """Let the person be in the new cell, in one transaction; a second call finds that it is so.

        An account in a tenant's own database is a transaction there. It is tried whole before the person arrives, so
        that what cannot be carried is known while the move can be rolled back, and committed after: killed between, the
        account is parked in the old cell and nowhere else, and the repeated command brings it.
        """
        people = self._parked("geo.users")
        # Of a person whom a tenant's landing made known there is no address: the row that has one counts.
        people.sort(key=lambda row: '"email": ""' in row)
        carried = {new: self._carried(old) for old, new in self.into.items()}
        places = {new: self._place(new) for new in carried}
        late = self._has_arrived()
        counts: list[Mapping[str, int]] = []
        with ExitStack() as afterwards:
            for tenant_id, place in places.items():
                if place.database is not None:
                    connection = afterwards.enter_context(self._writing(self.target, place.database))
                    if self._begin_arrival(connection):
                        self._arrive_in(connection, people)
                        counts.append(self._carry(connection, place, carried[tenant_id], late=late))
            with self._writing(self.target, None) as connection:
                if self._begin_arrival(connection):
                    self._arrive_in_cell(connection, people)
                    for tenant_id, place in places.items():
                        if place.database is None:
                            counts.append(self._carry(connection, place, carried[tenant_id], late=late))
                    self._count(connection, carrying.added(counts))
        for database in self.found.databases(self.target)[:-1]:
            with self._writing(self.target, database) as connection:
                if self.region != "eu":
                    connection.execute("delete from geo.eu_user_data where user_id = %s", (self.person_id,))
                connection.execute("update geo.users set region = %s where id = %s", (self.region, self.person_id))
        return f"is of region {self.region} in cell {self.target}; {carrying.describe(self._counts())}"

    def _arrive_in_cell(self, connection: Connection, people: list[str]) -> None:
        if self.region != "eu":
            connection.execute("delete from geo.eu_user_data where user_id = %s", (self.person_id,))
        if people:
            self._arrive_in(connection, people)
            for row in self._parked("geo.eu_user_data") if self.region == self.target == "eu" else []:
                self._add_sensitive(connection, row)
        else:
            connection.execute("update geo.users set region = %s where id = %s", (self.region, self.person_id))
        former.forget_person(connection, self.person_id)
        self._record_consent(connection)

    def _arrive_in(self, connection: Connection, people: list[str]) -> None:
        connection.execute(statement("arrive_person").encode(), {"region": self.region, "person": people[0]})

    def _place(self, tenant_id: UUID) -> Placement:
        tenant = find(str(tenant_id), self.target, self.settings)
        return placement(tenant.id, tenant.cell, tenant.model)

    def _count(self, connection: Connection, counts: Mapping[str, int]) -> None:
        """Keep with the arrival how much was carried: who repeats the command is told the same."""
        if counts:
            connection.execute(
                "update platform.person_operations set facts = facts || jsonb_build_object('counts', %s::jsonb) "
                "where operation_id = %s",
                (json.dumps(counts), self._mark),
            )

    def _counts(self) -> dict[str, int]:
        with connect(self.target, "auditor", None, self.settings, verb="person move") as connection:
            row = connection.execute(
                "select coalesce(facts -> 'counts', '{}') from platform.person_operations where operation_id = %s",
                (self._mark,),
            ).fetchone()
        return dict(row[0]) if row is not None else {}

    def _begin_arrival(self, connection: Connection) -> bool:
        """Mark the arrival in the journal of the new cell; False when it is marked already."""
        row = connection.execute(
            "insert into platform.person_operations (operation_id, person_id, verb, state, step, facts) "
            "values (%s, %s, 'arrive', 'done', 'arrive', jsonb_build_object('digest', %s::text, 'salt', %s::text)) "
            "on conflict (operation_id) do nothing returning operation_id",
            (
                self._mark,
                NOBODY,
                person_digest(self.person_id, self.operation_id.hex),
                self.operation_id.hex,
            ),
        ).fetchone()
        return row is not None

    @property
    def _mark(self) -> UUID:
        # Of the operation, and another id than its own: both journals may be one.
        return UUID(int=self.operation_id.int ^ 1)

    def _has_arrived(self) -> bool:
        with connect(self.target, "auditor", None, self.settings, verb="person move") as connection:
            row = connection.execute(
                "select exists (select from platform.person_operations where operation_id = %s)", (self._mark,)
            ).fetchone()
        return row is not None and bool(row[0])

    def _add_sensitive(self, connection: Connection, row: str) -> None:
        connection.execute(
            "insert into geo.eu_user_data select * from jsonb_populate_record(null::geo.eu_user_data, %s::jsonb) "
            "on conflict do nothing",
            (row,),
        )

    def _carry(
        self, connection: Connection, place: Placement, carried: CarriedAccount, *, late: bool
    ) -> Mapping[str, int]:
        """Make the account in a tenant of the new cell."""
        try:
            return carrying.write(connection, place, carried)
        except psycopg.IntegrityError as error:
            way_out = (
                f"The person lives in {self.target!r} since, the account is parked in the old cell: repeat the command "
                "when it is free"
                if late
                else "Roll the move back with --rollback, and move without --into for it"
            )
            raise PersonMoveError(
                f"tenant {place.tenant_id} does not take the account ({type(error).__name__}): somebody else may have "
                f"the address there. {way_out}"
            ) from None

    def clear(self) -> str:
        """Delete in the old cells what did not have to be parked: events, models, entries in Redis, old copies."""
        events = rows = 0
        for cell in self.sources:
            rows += delete_model_rows(self.found, cell, self.settings)
            with self._writing(cell, None) as connection:
                events += delete_events(connection, self.found, cell)
            edition = edition_of(cell, self.settings)
            for tenant_id in {each.tenant_id for each in self.found.accounts if each.place.cell == cell}:
                refresh_rollups(Tenant(tenant_id, cell, "", "", "", "active", "shared"), edition, self.settings)
            for database in self.found.databases(cell):
                with self._writing(cell, database) as connection:
                    parking.forget(connection, self.operation_id)
            clear_redis(self.found, cell, self.settings)
        archive.remove(self._old_copies())
        landed = land_again(self.found, self.sources, self.settings)
        return f"{events} events and {rows} rows of models went; {landed} tenants landed again"

    def _old_copies(self) -> list[Any]:
        copies = bundle.copies_of(self.person_id, self.settings)
        found = [*copies["export"], *copies["bundle"]]
        return [path for path in found if path.parent.name in self.sources and path.name != self.bundle]

    def compact(self) -> str:
        said = "nothing was left behind"
        for cell in self.sources:
            settle_cell(self.found, cell, self.settings)
            chunks = [(schema, table) for schema, table in self.running.facts["chunks"][cell]]
            done = compact_cell(self.found, cell, chunks, self.settings)
            said = f"{done}; {compaction.recycle_write_ahead_log(cell, self.settings)}"
        return said

    def prove(self) -> str:
        """Look into every store of the old cells; of the person only the bundle, and backups, may be left there."""
        looked_at = [
            each
            for each in remains(self.found, cells=self.sources, settings=self.settings)
            if (each.store, each.where) != ("exports", "bundles")
        ]
        left = [f"{each.store}: {each.count} in {each.where}" for each in looked_at if each.count]
        left += [f"exports: {path.name}" for path in self._old_copies()]
        for cell in self.sources:
            for database in self.found.databases(cell):
                with connect(cell, "auditor", database, self.settings, verb="person move") as connection:
                    row = connection.execute(
                        "select count(*) from platform.parked_rows where operation_id = %s", (self.operation_id,)
                    ).fetchone()
                if row is not None and row[0]:
                    left.append(f"parked rows: {row[0]} in {database or cell}")
        if left:
            self.running.reached("arrive")
            raise PersonMoveError(
                f"person {self.person_id} lives in {self.target!r}, and the old cell is not empty: "
                f"{'; '.join(left[:5])}. Repeat the command"
            )
        return f"nothing is left of the person in {', '.join(self.sources) or 'no cell'}: {len(looked_at)} places"

    def forget(self) -> str:
        counts = {"cells_left": len(self.sources), "accounts_carried": 0} | self._counts()
        end(self.running, "forget", counts, self.settings)
        tables = [("platform", "person_operations")]
        compaction.rewrite_tables(self.running.cell, "migrator", tables, self.settings)
        return "the journal knows nobody"

    def roll_back(self) -> Whereabouts:
        """Put everything back as it was; possible until the person has arrived."""
        if self._has_arrived():
            raise PersonMoveError(
                f"it is too late to roll back: the person lives in {self.target!r} since; repeat the command without "
                "--rollback to clear the old cell"
            )
        for cell in self.sources:
            # The cell's own first: it knows the person, whom tenants' rows refer to.
            for database in reversed(self.found.databases(cell)):
                with self._writing(cell, database) as connection:
                    parking.put_back(connection, self.operation_id)
            with connect(cell, "migrator", None, self.settings, verb="person move") as connection:
                former.forget_person(connection, self.person_id)
                former.forget_users(
                    connection, users_of(each for each in self.found.accounts if each.place.cell == cell)
                )
        with connect(self.running.cell, "migrator", None, self.settings, verb="person move") as connection:
            consents.withdraw(connection, self.operation_id)
        written = archive.directory("export", self.running.cell, self.settings) / self.bundle
        archive.remove([written] if written.is_dir() else [])
        end(self.running, "rolled back", {}, self.settings, state="undone")
        return locate(self.person_id, self.settings)
