"""Erasure of a tenant (GDPR, article 17): out of every registered store, with a proof and a certificate.

Goes by ``cells/stores.py``: each store is erased by a step here, or has a stated reason why it needs none and what ends
a copy there. Killed anywhere it goes on where it was; there is no way back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import redis
from psycopg import sql
from psycopg.types.json import Jsonb

from orchestration.cells import endpoints, routing
from orchestration.cells.journal import Operation, OperationError, Progress, Step, run_steps, silent
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.stores import stores
from orchestration.realtime.processing_lock import ProcessorsBusyError, processors_held_off
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive, certificates, compaction, former_tenants, redis_traces
from orchestration.tenancy.certificates import Certificate
from orchestration.tenancy.compaction import CompactionError
from orchestration.tenancy.derived_rows import refresh_rollups
from orchestration.tenancy.holdings import Holding, connect, edition_of, exists, holdings, statement
from orchestration.tenancy.placement import database_name, placement, schema_names
from orchestration.tenancy.provisioning import deprovision
from orchestration.tenancy.registry import Model, Tenant, find, of_id
from orchestration.tenancy.row_replacement import (
    delete_rows,
    delete_unreferenced_persons,
    movable,
    note_persons,
    persons_of,
    writing,
)
from orchestration.tenancy.steps import operation
from orchestration.tenancy.suspension import fence_writes, set_status

ERASING = "it is being erased"

# In the journal instead of an erased tenant's id.
NOBODY = UUID(int=0)

# Store -> step that erases it.
ERASED_BY: Mapping[str, str] = {
    "persons": "rows",
    "tenants": "rows",
    "shops": "rows",
    "events": "rows",
    "rollups": "rows",
    "chunks": "rows",
    "rejects": "rows",
    "models": "models",
    "usage": "registry",
    "operations": "forget",
    "parked rows": "rows",
    "tenant schemas": "places",
    "tenant databases": "places",
    "tenant logins": "places",
    "write-ahead log and dead rows": "compact",
    "database files": "compact",
    "counters": "redis",
    "queue": "redis",
    "redis files": "redis",
    "exports": "archives",
    "backups": "archives",
}

# Store -> why no step erases it, and what ends a copy there.
NOT_ERASED: Mapping[str, str] = {
    "proofs": "names of objects and counts, never a value; the newest 500 of a suite, at most 30 days",
    "replication": "only relations that no tenant has rows in leave the server; a standby follows the write-ahead log",
    "certificates": "salted digests and counts: the evidence of the erasure itself",
    "person operations": "digests of persons and consents, counts; no tenant is named once an operation has ended",
    "evidence": "names of objects and counts, never a tenant's id or value; kept as long as an auditor wants it",
    "data docs": "names of objects and counts; the last 20 validations of a suite",
    "residency map": "names of stores and counts; overwritten at each proof",
    "dbt docs": "descriptions and columns of models, no rows",
    "dbt artifacts": "SQL and counts; overwritten by the next run",
    "run records": "keys, counts, and ids in the configuration of runs on tenants; run_retention ends them in 30 days",
    "global aggregates": "k-anonymous, of three tenants at least: none can be told in them",
    "control files": "the files of the run records; as they",
    "run logs": "steps and counts; ended by run_retention in 30 days",
    "server logs": "no statement's parameters; rotated within a week",
    "platform files": "ports, passwords and configuration; no row",
}


class EraseError(RuntimeError):
    """A tenant could not be erased; the message says what is left and what to do. Repeating goes on from there."""


@dataclass(frozen=True)
class Remains:
    """What was found of a tenant in one place of a store; nothing, where it has been erased."""

    store: str
    where: str
    count: int


@dataclass(frozen=True)
class _Begun:
    """Whom an erasure is of: from the registry, or from the journal once the registry forgot."""

    tenant_id: UUID
    cell: Cell
    model: Model
    subdomain: str


_BY_SUBDOMAIN = """
    select tenant_id, facts ->> 'model', facts ->> 'subdomain' from platform.tenant_operations
    where verb = 'erase' and state in ('running', 'failed')
        and (tenant_id::text = lower(%(which)s) or facts ->> 'subdomain' = %(which)s)
"""


def _begun(which: str, settings: Settings) -> _Begun | None:
    for cell in CELLS:
        try:
            with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
                row = connection.execute(_BY_SUBDOMAIN, {"which": which}).fetchone()
        except (routing.CellUnavailableError, endpoints.EndpointError):
            continue
        if row is not None and row[1] is not None:
            return _Begun(row[0], cell, row[1], row[2])
    return None


def subdomain_to_erase(which: str, settings: Settings | None = None) -> str:
    """Return the subdomain of the tenant that is to be erased, for whoever asks whether it is meant.

    Raises:
        UnknownTenantError: there is no such tenant.
    """
    settings = settings or get_settings()
    begun = _begun(which, settings)
    return begun.subdomain if begun is not None else find(which, None, settings).subdomain


def erase_tenant(which: str, *, settings: Settings | None = None, progress: Progress = silent) -> Certificate:
    """Erase a tenant from every registered store, or go on with an erasure that was killed; return its certificate.

    Whoever calls this has asked whether it is meant: nothing brings the tenant back.

    Args:
        which: id or subdomain.
        settings: which platform.
        progress: told of every step.

    Raises:
        UnknownTenantError: there is no such tenant.
        OperationError: another operation of the tenant is open.
        EraseError: something is left; names the store.
        CompactionError: somebody who may have read the tenant's rows goes on for ten minutes; names the process.
        CellUnavailableError: a cell does not answer; every one is asked, for the tenant may have lived there.
    """
    settings = settings or get_settings()
    begun = _begun(which, settings)
    if begun is None:
        tenant = find(which, None, settings)
        if tenant.status == "moving":
            raise OperationError(f"tenant {tenant} is being moved: end that first with `capstone tenant move`")
        begun = _Begun(tenant.id, tenant.cell, tenant.model, tenant.subdomain)
    with operation(begun.cell, begun.tenant_id, "erase", settings=settings) as running:
        erase = _Erase(begun, running, settings)
        run_steps(running, erase.steps(), progress, close=False)
        return erase.certificate()


class _Erase:
    """The steps of an erasure; each may run again."""

    def __init__(self, begun: _Begun, running: Operation, settings: Settings) -> None:
        self.tenant_id, self.cell, self.model = begun.tenant_id, begun.cell, begun.model
        self.running, self.settings = running, settings
        self.edition = edition_of(self.cell, settings)

    def steps(self) -> list[Step]:
        works: dict[str, Callable[[], str]] = {
            "close": self.close,
            "archives": self.archives,
            "redis": self.redis,
            "models": self.models,
            "rows": self.rows,
            "places": self.places,
            "registry": self.registry,
            "compact": self.compact,
            "prove": self.prove,
            "certify": self.certify,
            "forget": self.forget,
        }
        return [Step(name, work) for name, work in works.items()]

    def held(self, *sorts: Any) -> list[Holding]:
        return movable(holdings(self.tenant_id, self.cell, self.model, self.edition), *sorts)

    def _here(self, held: list[Holding]) -> list[Holding]:
        return [each for each in held if each.database is None]

    def close(self) -> str:
        tenant = find(str(self.tenant_id), self.cell, self.settings)
        self.running.remember(model=self.model, subdomain=tenant.subdomain, salt=former_tenants.new_salt())
        fence_writes(set_status(tenant, "erasing", self.settings), ERASING, self.settings, reads=True)
        return "closed to everybody, no writer in flight"

    def archives(self) -> str:
        paths = [
            path
            for kind in ("export", "backup")
            for cell in CELLS
            for find_archives in (archive.archives, archive.partial_archives)
            for path in find_archives(kind, cell, self.tenant_id, self.settings)  # type: ignore[arg-type]
        ]
        paths += archive.bundles_naming(self.tenant_id, self.settings)
        return f"{archive.remove(paths)} exports and backups removed"

    def redis(self) -> str:
        removed = 0
        client = redis_traces.client(self.cell, self.settings)
        try:
            # A batch that was stored before the tenant was closed is counted later: not after its counters are gone.
            with (
                routing.connect(self.cell, "loader", autocommit=True, settings=self.settings) as connection,
                processors_held_off(connection),
            ):
                for key in list(_redis_keys(client, self.tenant_id)):
                    removed += int(client.delete(key))
                removed += redis_traces.remove(client, _redis_entries(client, self.tenant_id)).entries
            compaction.rewrite_redis_files(client)
        except (ProcessorsBusyError, CompactionError) as error:
            raise EraseError(str(error)) from None
        except redis.RedisError as error:
            raise EraseError(
                f"Redis of cell {self.cell!r} does not do what is needed ({type(error).__name__}): start it with "
                "`capstone up`, then repeat the command"
            ) from None
        finally:
            client.close()
        return f"{removed} keys and entries removed, its files rewritten"

    def models(self) -> str:
        gone = self._delete_models()
        self._count(models=gone)
        return f"{gone} rows of models"

    def _delete_models(self) -> int:
        with writing(self.cell, "transformer", None, self.tenant_id, self.settings, verb="erase") as connection:
            return delete_rows(connection, self.held("model"), self.tenant_id)

    def rows(self) -> str:
        """Delete all rows in the cell's database in one transaction, and the persons whom nobody else names."""
        held = self._here(self.held("operational", "landed", "events", "record"))
        own = placement(self.tenant_id, self.cell, self.model).database
        persons: list[UUID] = []
        if own is not None and self._has_database(own):
            with connect(self.cell, "auditor", own, self.settings, verb="erase") as connection:
                persons = persons_of(connection, self.held("operational"), self.tenant_id)
        self._note_chunks()
        with writing(self.cell, "migrator", None, self.tenant_id, self.settings, verb="erase") as connection:
            note_persons(connection, held, self.tenant_id, persons)
            named = connection.execute("select count(*) from pg_temp.noted").fetchone()
            connection.execute(statement("note_loads"), {"tenant": self.tenant_id})
            connection.execute("delete from platform.parked_rows where of_tenant = %s", (self.tenant_id,))
            gone = delete_rows(connection, held, self.tenant_id)
            connection.execute(statement("delete_noted_loads"))
            deleted = delete_unreferenced_persons(connection)
        # What is gone is noted for the rollups, until they have been counted again.
        self._note_chunks()
        tenant = Tenant(self.tenant_id, self.cell, "", "", "", "erasing", "shared")
        refresh_rollups(tenant, self.edition, self.settings)
        kept = (int(named[0]) if named is not None else 0) - deleted
        self._count(rows=gone, persons=deleted, persons_kept=kept)
        return f"{gone} rows, {deleted} persons; {kept} persons stay, whom other tenants name"

    def _note_chunks(self) -> None:
        """Keep the names of the chunks that had rows: when those are gone nobody can tell."""
        with connect(self.cell, "auditor", None, self.settings, verb="erase") as connection:
            chunks = {
                (str(schema), str(table))
                for each in holdings(self.tenant_id, self.cell, self.model, self.edition)
                if each.relkind == "hypertable"
                for schema, table in connection.execute(
                    sql.SQL(statement("chunks_of_rows")).format(
                        relation=each.identifier, condition=each.of(self.tenant_id)
                    )
                )
            }
        known = {(schema, table) for schema, table in self.running.facts.get("chunks", [])}
        self.running.remember(chunks=sorted(list(each) for each in chunks | known))

    def _count(self, **counts: int) -> None:
        """Add to what the certificate says was deleted; a step that runs again finds nothing and adds nothing."""
        before = self.running.facts.get("deleted", {})
        merged = {**before, **{name: max(count, before.get(name, 0)) for name, count in counts.items()}}
        self.running.remember(deleted=merged)

    def places(self) -> str:
        return deprovision(self.tenant_id, self.model, self.cell, self.settings)

    def registry(self) -> str:
        """Delete the tenant's own row, and with it its fence, account and usage; remember that it is gone."""
        with writing(self.cell, "migrator", None, self.tenant_id, self.settings, verb="erase") as connection:
            connection.execute("delete from saas.tenants where id = %s", (self.tenant_id,))
            former_tenants.forget(connection, self.tenant_id)
            former_tenants.record(connection, self.tenant_id, "erased", str(self.running.facts["salt"]))
        return "the tenant is no longer registered"

    def compact(self) -> str:
        """Rewrite what held rows and let the write-ahead log pass over it, so that no file keeps their bytes.

        First whoever began before the rows went has to end, and what they made of them meanwhile goes too.
        """
        late = compaction.delete_until_settled(
            self._delete_models, lambda: compaction.await_older_transactions(self.cell, self.settings)
        )
        tables = [
            (each.schema, each.table)
            for each in self._here(self.held("operational", "landed", "events", "record"))
            if each.relkind == "table" and each.schema != schema_names(self.tenant_id).get("saas")
        ]
        tables += [("geo", "users"), ("geo", "eu_user_data"), ("saas", "tenants"), ("saas", "tenant_fences")]
        tables += [("platform", "parked_rows")]
        tables += [(schema, table) for schema, table in self.running.facts.get("chunks", [])]
        models = [(each.schema, each.table) for each in self.held("model")]
        done = compaction.rewrite_tables(self.cell, "migrator", tables, self.settings)
        done += compaction.rewrite_tables(self.cell, "transformer", models, self.settings)
        said = compaction.recycle_write_ahead_log(self.cell, self.settings)
        self.running.remember(larger=done.vacuumed)
        return f"{late} rows written meanwhile went; {done}; {said}"

    def _has_database(self, name: str) -> bool:
        with connect(self.cell, "auditor", None, self.settings, verb="erase") as connection:
            return connection.execute("select from pg_catalog.pg_database where datname = %s", (name,)).rowcount > 0

    def prove(self) -> str:
        """Look into every store; anything that is found there ends the erasure with an error."""
        found = remains(self.tenant_id, self.cell, settings=self.settings)
        left = [each for each in found if each.count and each.store != "operations"]
        if left:
            self.running.reached("close")
            named = "; ".join(f"{each.store}: {each.count} in {each.where}" for each in left[:5])
            raise EraseError(f"tenant {self.tenant_id} is not erased: {named}. Repeat the command")
        self.running.remember(looked_at=len(found))
        return f"nothing is left in {len(found)} places of {len(ERASED_BY)} stores"

    def certify(self) -> str:
        certificate = Certificate(
            certificate_id=str(self.running.operation_id),
            tenant_digest=former_tenants.tenant_digest(self.tenant_id, str(self.running.facts["salt"])),
            salt=str(self.running.facts["salt"]),
            cell=self.cell,
            model=self.model,
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
            deleted=dict(self.running.facts.get("deleted", {})),
            places_looked_at=int(self.running.facts.get("looked_at", 0)),
            tables_not_rewritten=int(self.running.facts.get("larger", 0)),
            erased=tuple(each.name for each in stores() if each.name in ERASED_BY),
            not_erased={each.name: NOT_ERASED[each.name] for each in stores() if each.name in NOT_ERASED},
        )
        return certificates.write(certificate, self.settings).name

    def certificate(self) -> Certificate:
        return certificates.read(self.cell, str(self.running.operation_id), self.settings)

    def forget(self) -> str:
        """Take the tenant out of the journals of all cells, this operation's last."""
        gone = 0
        for cell in CELLS:
            with routing.connect(cell, "loader", autocommit=True, settings=self.settings) as connection:
                gone += connection.execute(
                    "delete from platform.tenant_operations where tenant_id = %s and operation_id <> %s",
                    (self.tenant_id, self.running.operation_id),
                ).rowcount
        with routing.connect(self.cell, "loader", autocommit=True, settings=self.settings) as connection:
            connection.execute(
                "update platform.tenant_operations set tenant_id = %s, state = 'done', step = 'forget', facts = %s, "
                "arguments = '{}', updated_at = clock_timestamp() where operation_id = %s",
                (NOBODY, Jsonb({"certificate": str(self.running.operation_id)}), self.running.operation_id),
            )
        return f"{gone} earlier operations forgotten"


def _forms(tenant_id: UUID) -> tuple[bytes, bytes]:
    return str(tenant_id).encode(), tenant_id.hex.encode()


def _redis_keys(client: Any, tenant_id: UUID) -> set[bytes]:
    """Return the keys that name the tenant."""
    return {
        key
        for form in _forms(tenant_id)
        for key in client.scan_iter(match=b"*" + form + b"*", count=redis_traces.SCANNED_AT_ONCE)
    }


def _redis_entries(client: Any, tenant_id: UUID) -> dict[bytes, list[bytes]]:
    """Return, by stream, the entries in which the tenant is named."""
    forms = _forms(tenant_id)
    return redis_traces.entries(
        client, lambda _, fields: any(form in value for form in forms for pair in fields.items() for value in pair)
    )


def remains(tenant_id: UUID, cell: Cell, *, settings: Settings | None = None) -> list[Remains]:
    """Look for a tenant in every store that an erasure erases; return each place that was looked at, with its count.

    Raises:
        CellUnavailableError: a cell does not answer.
    """
    settings = settings or get_settings()
    found: list[Remains] = []
    with connect(cell, "auditor", None, settings, verb="erase") as connection:
        place_of = {place: each.name for each in stores() for place in each.where if each.medium == "tables"}
        for each in holdings(tenant_id, cell, "shared", edition_of(cell, settings)):
            count = 0
            if exists(connection, each):
                query = sql.SQL("select count(*) from {} where {}").format(each.identifier, each.of(tenant_id))
                row = connection.execute(query).fetchone()
                count = int(row[0]) if row is not None else 0
            store = place_of.get(each.name) or place_of.get(each.schema) or each.name
            found.append(Remains(store, each.name, count))
        for store, query_text, name in (
            ("tenant schemas", "select count(*) from pg_catalog.pg_namespace where nspname = any(%s)", None),
            ("tenant databases", "select count(*) from pg_catalog.pg_database where datname = any(%s)", "database"),
            ("tenant logins", "select count(*) from pg_catalog.pg_roles where rolname = any(%s)", "login"),
        ):
            names = [database_name(tenant_id)] if name else list(schema_names(tenant_id).values())
            row = connection.execute(query_text.encode(), (names,)).fetchone()
            found.append(Remains(store, name or "schemas", int(row[0]) if row is not None else 0))
    client = redis_traces.client(cell, settings)
    try:
        found.append(Remains("counters", "keys", len(_redis_keys(client, tenant_id))))
        entries = sum(len(each) for each in _redis_entries(client, tenant_id).values())
        found.append(Remains("queue", "entries of streams", entries))
    except redis.RedisError as error:
        raise EraseError(
            f"Redis of cell {cell!r} does not answer ({type(error).__name__}): start it with `capstone up`"
        ) from None
    finally:
        client.close()
    for kind, store in (("export", "exports"), ("backup", "backups")):
        for each_cell in CELLS:
            paths = archive.archives(kind, each_cell, tenant_id, settings)  # type: ignore[arg-type]
            paths += archive.partial_archives(kind, each_cell, tenant_id, settings)  # type: ignore[arg-type]
            found.append(Remains(store, each_cell, len(paths)))
    found.append(Remains("exports", "bundles of persons", len(archive.bundles_naming(tenant_id, settings))))
    for other in CELLS:
        if other != cell:
            with connect(other, "auditor", None, settings, verb="erase") as connection:
                if of_id(connection, other, tenant_id) is not None:
                    found.append(Remains("tenants", f"cell {other}", 1))
    return found
