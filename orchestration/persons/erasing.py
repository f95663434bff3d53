"""Erasure of a person (GDPR, article 17): out of every registered store of every cell, with a proof and a certificate.

What tax law asks to keep, orders with their lines and payments, stays without the person: see :mod:`leaving`. Killed
anywhere it goes on where it was; there is no way back.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg import sql

from orchestration.cells import routing
from orchestration.cells.journal import Operation, OperationError, Progress, Step, operation, run_steps, silent
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.stores import stores
from orchestration.persons import certificates, former
from orchestration.persons.bundle import by_user, copies_of
from orchestration.persons.certificates import PersonCertificate
from orchestration.persons.digests import person_digest
from orchestration.persons.leaving import Left, leave
from orchestration.persons.live_entries import client_of, entries_of, users_of
from orchestration.persons.operations import PERSONS, Begun, end, open_in
from orchestration.persons.personal_rows import OF_ACCOUNT, OF_PERSON, OF_USER, Account, condition
from orchestration.persons.whereabouts import (
    UnknownPersonError,
    Whereabouts,
    locate,
    places,
    require_settled,
    store_of,
)
from orchestration.realtime.processing_lock import ProcessorsBusyError, processors_held_off
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive, compaction, redis_traces, stale_days
from orchestration.tenancy.compaction import CompactionError, Rewritten
from orchestration.tenancy.derived_rows import count_again, land, refresh_rollups
from orchestration.tenancy.holdings import Connection, connect, edition_of
from orchestration.tenancy.holdings import statement as tenancy_statement
from orchestration.tenancy.redis_traces import Removed
from orchestration.tenancy.registry import Tenant, UnknownTenantError, find
from orchestration.tenancy.row_replacement import writing
from orchestration.tenancy.suspension import await_writers

# Store -> step that erases it.
ERASED_BY: Mapping[str, str] = {
    "persons": "rows",
    "tenants": "rows",
    "shops": "rows",
    "events": "rows",
    "rollups": "rows",
    "chunks": "rows",
    "models": "models",
    "tenant schemas": "rows",
    "tenant databases": "rows",
    "counters": "redis",
    "queue": "redis",
    "redis files": "redis",
    "exports": "archives",
    "write-ahead log and dead rows": "compact",
    "database files": "compact",
    "person operations": "forget",
}

# Store -> why no step erases it, and what ends a copy there.
NOT_ERASED: Mapping[str, str] = {
    "usage": "counts of tenants' requests and rows, of nobody in particular",
    "rejects": "line numbers, columns and reasons, never what a line said",
    "operations": "what was done to whole tenants: names and counts",
    "parked rows": "rows only while a move is open, and then nothing else can be asked for",
    "proofs": "names of objects and counts, never a value; the newest 500 of a suite, at most 30 days",
    "replication": "no relation that knows persons leaves the server; a standby follows the write-ahead log",
    "tenant logins": "logins of tenants, not of persons",
    "backups": "kept for their tenants at most 30 days; a restore erases the person again",
    "certificates": "salted digests and counts: the evidence of the erasure itself",
    "evidence": "names of objects and counts; kept as long as an auditor wants it",
    "data docs": "names of objects and counts; the last 20 validations of a suite",
    "residency map": "names of stores and counts; overwritten at each proof",
    "dbt docs": "descriptions and columns of models, no rows",
    "dbt artifacts": "SQL and counts; overwritten by the next run",
    "run records": "keys, counts, and in the configuration of a run on a person the id alone; ended in 30 days",
    "global aggregates": "k-anonymous: no person can be told in them",
    "control files": "the files of the run records; as they",
    "run logs": "steps and counts; ended by run_retention in 30 days",
    "server logs": "no statement's parameters; rotated within a week",
    "platform files": "ports, passwords and configuration; no row",
}

# What is kept -> why.
REASONS: Mapping[str, str] = {
    "orders": "tax and accounting law ask for them for years; under a shopper that is nobody, the address reduced to "
    "country and state, where tax was due",
    "order_items": "what the orders are made of",
    "payments": "amount, currency, state and time, for the same reason; the provider's reference and the card are gone",
    "ratings": "a number of stars about a product; title and text are gone",
}


class PersonEraseError(RuntimeError):
    """A person could not be erased; the message says what is left and what to do. Repeating goes on from there."""


@dataclass(frozen=True)
class Remains:
    """What was found of a person in one place of a store; nothing, where it has been erased."""

    store: str
    where: str
    count: int


def erase_person(
    person_id: UUID, *, settings: Settings | None = None, progress: Progress = silent
) -> PersonCertificate:
    """Erase a person from every registered store, or go on with an erasure that was killed; return its certificate.

    Whoever calls this has asked whether it is meant: nothing brings the person back.

    Args:
        person_id: whom.
        settings: which platform.
        progress: told of every step.

    Raises:
        UnknownPersonError: no cell knows the person.
        OperationError: another process works on the person, or another operation on them is open.
        PersonEraseError: something is left; names the store.
        CompactionError: somebody who may have read the person's rows goes on for ten minutes; names the process.
        CellUnavailableError, LiveEntriesError: a cell, or its Redis, does not answer; repeat when it does.
    """
    settings = settings or get_settings()
    begun = open_in(person_id, "erase", settings)
    found, home = _where(person_id, begun, settings)
    moving = open_in(person_id, "move", settings)
    if moving is not None:
        raise OperationError(f"person {person_id} is being moved: end that first with `capstone person move`")
    require_settled(found, settings)
    with operation(PERSONS, home, person_id, "erase", settings=settings) as running:
        erase = _Erase(found, running, settings)
        run_steps(running, erase.steps(), progress, close=False)
        return certificates.read(home, str(running.operation_id), settings)


def _where(person_id: UUID, begun: Begun | None, settings: Settings) -> tuple[Whereabouts, Cell]:
    """Return where the person was and is, and the cell that keeps the journal."""
    before = Whereabouts.from_json(person_id, begun[2]["found"]) if begun is not None and "found" in begun[2] else None
    try:
        found = locate(person_id, settings)
    except UnknownPersonError:
        if before is None:
            raise
        found = before
    # A tenant may have moved since, with the person.
    joined = before.joined(found) if before is not None else found
    return joined, begun[0] if begun is not None else found.home


class _Erase:
    """The steps of an erasure; each may run again."""

    def __init__(self, found: Whereabouts, running: Operation, settings: Settings) -> None:
        self.found, self.running, self.settings = found, running, settings

    def steps(self) -> list[Step]:
        works: dict[str, Callable[[], str]] = {
            "close": self.close,
            "archives": self.archives,
            "models": self.models,
            "rows": self.rows,
            "redis": self.redis,
            "land": self.land,
            "compact": self.compact,
            "prove": self.prove,
            "certify": self.certify,
            "forget": self.forget,
        }
        return [Step(name, work) for name, work in works.items()]

    def close(self) -> str:
        """Remember where the person is; let no event of theirs be taken any more, nor any load bring them back."""
        salt = self.running.facts.get("salt") or secrets.token_hex(16)
        self.running.remember(found=self.found.to_json(), salt=salt)
        for cell in CELLS:
            record_gone(self.found, cell, "erased", self.settings)
        return "no event and no load brings the person back, no writer in flight"

    def archives(self) -> str:
        copies = copies_of(self.found.person_id, self.settings)
        removed = archive.remove([*copies["export"], *copies["bundle"]])
        until = [archive.read_manifest(path).expires_at for path in copies["backup"] if not path.name.startswith(".")]
        self.running.remember(backups=len(copies["backup"]), backups_until=max(until, default=None))
        return f"{removed} exports and bundles removed, {len(copies['backup'])} backups stay: restores erase again"

    def models(self) -> str:
        gone = sum(delete_model_rows(self.found, cell, self.settings) for cell in self.found.cells)
        self.count(gone={"model_rows": gone})
        return f"{gone} rows of models"

    def rows(self) -> str:
        """Take the person out of every database, tenants' own first: the cell's knows where the others are."""
        left = Left()
        for cell in self.found.cells:
            before = self.running.facts.get("chunks", {})
            here = chunks_of(self.found, cell, self.settings, before.get(cell, []))
            self.running.remember(chunks=before | {cell: here})
            left += leave_cell(self.found, cell, self.settings, verb="erase")
        self.count(left.gone, left.kept)
        gone, kept = sum(left.gone.values()), sum(left.kept.values())
        return f"{gone} rows went, {kept} are kept by law, without the person"

    def count(self, gone: Mapping[str, int] | None = None, kept: Mapping[str, int] | None = None) -> None:
        """Add to what the certificate says; a step that runs again finds nothing and takes nothing back."""
        facts: dict[str, dict[str, int]] = {}
        for name, counts in (("gone", gone), ("kept", kept)):
            before = self.running.facts.get(name, {})
            facts[name] = before | {key: max(number, before.get(key, 0)) for key, number in (counts or {}).items()}
        self.running.remember(**facts)

    def redis(self) -> str:
        removed = [clear_redis(self.found, cell, self.settings) for cell in self.found.cells]
        in_queue = sum(each.in_queue for each in removed)
        self.running.remember(in_queue=max(in_queue, self.running.facts.get("in_queue", 0)))
        entries = sum(each.entries for each in removed)
        return f"{entries} entries removed, counters computed anew, files rewritten"

    def land(self) -> str:
        landed = land_again(self.found, self.found.cells, self.settings)
        return f"{landed} tenants landed again" if landed else "no tenant has a place of its own"

    def compact(self) -> str:
        done, said, late = Rewritten(), "", 0
        for cell in self.found.cells:
            late += settle_cell(self.found, cell, self.settings)
            chunks = [(schema, table) for schema, table in self.running.facts.get("chunks", {}).get(cell, [])]
            done += compact_cell(self.found, cell, chunks, self.settings)
            said = compaction.recycle_write_ahead_log(cell, self.settings)
        self.running.remember(larger=done.vacuumed)
        return f"{late} rows written meanwhile went; {done}; {said}"

    def prove(self) -> str:
        """Look into every store; anything that is found there ends the erasure with an error."""
        looked_at = remains(self.found, settings=self.settings)
        left = [each for each in looked_at if each.count]
        if left:
            self.running.reached("close")
            named = "; ".join(f"{each.store}: {each.count} in {each.where}" for each in left[:5])
            raise PersonEraseError(f"person {self.found.person_id} is not erased: {named}. Repeat the command")
        self.running.remember(looked_at=len(looked_at))
        return f"nothing is left in {len(looked_at)} places of {len(ERASED_BY)} stores"

    def certify(self) -> str:
        facts = self.running.facts
        kept = dict(facts.get("kept", {}))
        certificate = PersonCertificate(
            certificate_id=str(self.running.operation_id),
            person_digest=person_digest(self.found.person_id, str(facts["salt"])),
            salt=str(facts["salt"]),
            cell=self.running.cell,
            cells=self.found.cells,
            tenants=len(self.found.tenants),
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
            deleted=dict(facts.get("gone", {})),
            retained=kept,
            reasons={name: REASONS[name] for name in kept},
            places_looked_at=int(facts.get("looked_at", 0)),
            backups=int(facts.get("backups", 0)),
            backups_until=facts.get("backups_until"),
            queue_entries=int(facts.get("in_queue", 0)),
            tables_not_rewritten=int(facts.get("larger", 0)),
            erased=tuple(each.name for each in stores() if each.name in ERASED_BY),
            not_erased={each.name: NOT_ERASED[each.name] for each in stores() if each.name in NOT_ERASED},
            stale_days=sum(stale_days.stale_days(cell, self.settings).count for cell in self.found.cells),
        )
        return certificates.write(certificate, self.settings).name

    def forget(self) -> str:
        facts = self.running.facts
        counts = dict(facts.get("gone", {})) | {f"kept_{name}": n for name, n in facts.get("kept", {}).items()}
        end(self.running, "forget", counts, self.settings)
        tables = [("platform", "person_operations")]
        compaction.rewrite_tables(self.running.cell, "migrator", tables, self.settings)
        return "the journal knows nobody"


# What the old cell of a move needs as well.


def record_gone(found: Whereabouts, cell: Cell, why: former.Why, settings: Settings) -> None:
    """Record that the person is not to come back to a cell; when this returns no writer who did not see it is left."""
    with routing.connect(
        cell, "migrator", autocommit=True, application_name="capstone person", settings=settings
    ) as connection:
        with connection.transaction():
            former.record_person(connection, found.person_id, why)
            former.record_users(connection, users_of(each for each in found.accounts if each.place.cell == cell))
        await_writers(connection, None, bulk=False)


def chunks_of(
    found: Whereabouts, cell: Cell, settings: Settings, known: Iterable[Sequence[str]] = ()
) -> list[list[str]]:
    """Return schema and name of the chunks that have rows of the person, with those of which that is known.

    When the rows are gone nobody can tell.
    """
    chunks = {(schema, table) for schema, table in known}
    with connect(cell, "auditor", None, settings, verb="person erase") as connection:
        for account in by_user(found.accounts, cell):
            of_tenant = sql.SQL("tenant_id = {}").format(sql.Literal(account.tenant_id))
            for relation, rows in (
                ("analytics.events", condition("analytics.events", found.person_id, account)),
                # Counted again: pages that only the person saw, days on which only they came.
                ("analytics.user_days_kept", of_tenant),
                ("analytics.page_users_hourly_kept", of_tenant),
                ("analytics.page_views_daily_kept", of_tenant),
            ):
                if not _exists(connection, relation):
                    continue
                query = sql.SQL(tenancy_statement("chunks_of_rows")).format(
                    relation=sql.Identifier(*relation.split(".")), condition=rows
                )
                chunks |= {(str(schema), str(table)) for schema, table in connection.execute(query)}
    return sorted([schema, table] for schema, table in chunks)


def mark_stale(connection: Connection, found: Whereabouts, cell: Cell) -> None:
    """Mark the days on which the person did something in a cell as to be built again, in the caller's transaction."""
    for tenant_id in sorted({each.tenant_id for each in found.accounts if each.place.cell == cell}):
        account = next((each for each in by_user(found.accounts, cell) if each.tenant_id == tenant_id), None)
        live, history = (
            condition(relation, found.person_id, account) if account is not None else sql.SQL("false")
            for relation in ("analytics.events", "analytics.events_history")
        )
        stale_days.mark(connection, tenant_id, live, history)


def delete_model_rows(found: Whereabouts, cell: Cell, settings: Settings) -> int:
    """Delete what dbt keeps by the person's numbers as shopper; return how many rows."""
    gone = 0
    with connect(cell, "transformer", None, settings, verb="person erase") as connection:
        mark_stale(connection, found, cell)
        for account in by_user(found.accounts, cell):
            for relation in (name for name in OF_USER if name.startswith("intermediate.")):
                if _exists(connection, relation):
                    gone += _delete(connection, relation, found.person_id, account)
    return gone


def _exists(connection: Connection, relation: str) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (relation,)).fetchone()
    return row is not None and bool(row[0])


def _delete(connection: Connection, relation: str, person_id: UUID, account: Account) -> int:
    query = sql.SQL("delete from {} where {}").format(
        sql.Identifier(*relation.split(".")), condition(relation, person_id, account)
    )
    return max(connection.execute(query).rowcount, 0)


def leave_cell(found: Whereabouts, cell: Cell, settings: Settings, *, verb: str) -> Left:
    """Take the person out of every database of a cell: one transaction each, the cell's own last."""
    left = Left()
    for database in found.databases(cell):
        tenant = next((each.tenant_id for each in found.of(cell, database)), UUID(int=0))
        with writing(cell, "migrator", database, tenant, settings, verb=f"person {verb}") as connection:
            if database is None:
                left += Left({"events": delete_events(connection, found, cell)})
            left += leave(connection, cell, places(connection, cell, database), [found.person_id])
    edition = edition_of(cell, settings)
    for account in by_user(found.accounts, cell):
        refresh_rollups(Tenant(account.tenant_id, cell, "", "", "", "active", account.model), edition, settings)
    return left


def delete_events(connection: Connection, found: Whereabouts, cell: Cell) -> int:
    """Delete the person's events, live and old, and their ids, in the caller's transaction; return how many events.

    Their days are marked in the same transaction: figures of many persons were counted with them.
    """
    gone = 0
    mark_stale(connection, found, cell)
    for account in by_user(found.accounts, cell):
        _delete(connection, "analytics.event_ids", found.person_id, account)
        for relation in ("analytics.events", "analytics.events_history"):
            gone += _delete(connection, relation, found.person_id, account)
    return gone


def clear_redis(found: Whereabouts, cell: Cell, settings: Settings) -> Removed:
    """Remove the person's entries from a cell's Redis, and have its counters say what the events there now are."""
    try:
        with client_of(cell, settings) as client:
            # A batch that was stored before is counted later: not after its entries are gone.
            with (
                routing.connect(cell, "loader", autocommit=True, settings=settings) as connection,
                processors_held_off(connection),
            ):
                users = users_of(each for each in found.accounts if each.place.cell == cell)
                removed = redis_traces.remove(client, entries_of(client, users))
            for account in by_user(found.accounts, cell):
                count_again(account.tenant_id, cell, settings)
            compaction.rewrite_redis_files(client)
    except (ProcessorsBusyError, CompactionError) as error:
        raise PersonEraseError(str(error)) from None
    return removed


def land_again(found: Whereabouts, cells: Iterable[Cell], settings: Settings) -> int:
    """Land the rows of tenants with a place of their own again, for dbt; return how many tenants that were."""
    landed = 0
    for cell in cells:
        for tenant_id in {each.tenant_id for each in found.accounts if each.place.cell == cell}:
            try:
                tenant = find(str(tenant_id), cell, settings)
            except UnknownTenantError:
                continue
            if tenant.model != "shared":
                land(tenant, settings)
                landed += 1
    return landed


def settle_cell(found: Whereabouts, cell: Cell, settings: Settings) -> int:
    """Wait for whoever in a cell began before the person's rows went, and delete what they wrote of them meanwhile.

    Raises:
        CompactionError: somebody does not end.
    """
    for database in found.databases(cell):
        if database is not None:
            compaction.await_older_transactions(cell, settings, database=database)
    return compaction.delete_until_settled(
        lambda: delete_model_rows(found, cell, settings),
        lambda: compaction.await_older_transactions(cell, settings),
    )


def compact_cell(found: Whereabouts, cell: Cell, chunks: Iterable[tuple[str, str]], settings: Settings) -> Rewritten:
    """Write the tables that held rows of the person anew, in every database of a cell."""
    done = Rewritten()
    for database in found.databases(cell):
        tables = [("geo", "users"), ("geo", "eu_user_data"), ("platform", "parked_rows")]
        for place in {each.place for each in found.of(cell, database)}:
            for relation in OF_ACCOUNT:
                schema, table = relation.split(".")
                tables.append(({"saas": place.saas, "ecommerce": place.ecommerce}[schema], table))
        if database is None:
            tables += [("analytics", "events_history"), ("analytics", "event_ids")]
            tables += chunks
        done += compaction.rewrite_tables(cell, "migrator", tables, settings, database=database)
    models = [(name.split(".")[0], name.split(".")[1]) for name in OF_USER if name.startswith("intermediate.")]
    return done + compaction.rewrite_tables(cell, "transformer", models, settings)


def remains(found: Whereabouts, *, cells: Iterable[Cell] = CELLS, settings: Settings | None = None) -> list[Remains]:
    """Look for a person in every store that an erasure erases; return each place that was looked at, with its count.

    Args:
        found: where the person was: their numbers are looked for too.
        cells: which to look into.
        settings: which platform.

    Raises:
        CellUnavailableError, LiveEntriesError: a cell does not answer.
    """
    settings = settings or get_settings()
    looked_at: list[Remains] = []
    for cell in cells:
        for database in found.databases(cell):
            with connect(cell, "auditor", database, settings, verb="person erase") as connection:
                looked_at += _remains_in(connection, found, cell, database)
        users = users_of(each for each in found.accounts if each.place.cell == cell)
        with client_of(cell, settings) as client:
            entries = sum(len(each) for each in entries_of(client, users).values())
        looked_at.append(Remains("queue", f"{cell}: streams, those of counters too", entries))
    copies = copies_of(found.person_id, settings)
    for kind in ("export", "bundle"):
        here = [path for path in copies[kind] if path.parent.name in set(cells)]
        looked_at.append(Remains("exports", f"{kind}s", len(here)))
    return looked_at


def _remains_in(connection: Connection, found: Whereabouts, cell: Cell, database: str | None) -> list[Remains]:
    looked_at: list[Remains] = []
    label = database or cell

    def look(store: str, where: str, identifier: sql.Identifier, fulfilled: sql.Composable) -> None:
        row = connection.execute(sql.SQL("select count(*) from {} where {}").format(identifier, fulfilled)).fetchone()
        looked_at.append(Remains(store, f"{label}: {where}", int(row[0]) if row is not None else 0))

    for relation in OF_PERSON:
        fulfilled = condition(relation, found.person_id)
        look(store_of(relation, None, database), relation, sql.Identifier(*relation.split(".")), fulfilled)
    # Whoever names the person, whatever number they have there.
    names = sql.SQL("person_id = {}").format(sql.Literal(found.person_id))
    for place in places(connection, cell, database):
        for relation in ("saas.users", "ecommerce.users"):
            look(store_of(relation, place, database), relation, place.identifier(relation), names)
    for account in found.of(cell, database):
        for relation in OF_ACCOUNT:
            fulfilled = condition(relation, found.person_id, account)
            identifier = account.place.identifier(relation)
            look(store_of(relation, account.place, database), relation, identifier, fulfilled)
    if database is None:
        for account in by_user(found.accounts, cell):
            for relation in OF_USER:
                if _exists(connection, relation):
                    fulfilled = condition(relation, found.person_id, account)
                    look(store_of(relation, None, None), relation, sql.Identifier(*relation.split(".")), fulfilled)
    return looked_at
