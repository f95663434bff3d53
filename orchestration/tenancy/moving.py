"""Moving a tenant to another model, another cell, or both, without losing a row and without two writable homes.

The source is closed to writes while rows are copied and compared; readers go on reading it. Until the switch everything
can be rolled back. Then the source is closed altogether, the target opened, and only afterwards is the source cleared.
"""

import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.types.json import Jsonb

from orchestration.cells import endpoints, routing
from orchestration.cells.journal import Journaled, Operation, Progress, Step, run_steps, silent
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.relations import Edition
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive, former_tenants, row_copy
from orchestration.tenancy.backup import register
from orchestration.tenancy.derived_rows import count_again, land, refresh_rollups
from orchestration.tenancy.holdings import (
    ORDERED,
    Connection,
    Holding,
    Sort,
    columns,
    connect,
    edition_of,
    exists,
    holdings,
    statement,
)
from orchestration.tenancy.placement import placement
from orchestration.tenancy.provisioning import deprovision, provision
from orchestration.tenancy.registry import MODELS, Model, Status, Tenant, TenantError, UnknownTenantError, find, of_id
from orchestration.tenancy.residency import require_residency
from orchestration.tenancy.row_replacement import (
    copy_persons,
    delete_rows,
    delete_unreferenced_persons,
    digests,
    disagreements,
    movable,
    note_persons,
    persons_of,
    write_holding,
    writing,
)
from orchestration.tenancy.steps import open_operation_of, operation
from orchestration.tenancy.suspension import fence_writes, set_status, unfence

MOVING = "it is being moved"

# What must be free beside the rows: indexes, write-ahead log, and what others write meanwhile.
_SPARE_BYTES = 256 * 1024**2
# Rows with their indexes, against the rows alone.
_SPACE_FACTOR = 3

STEPS = (
    "reserve", "provision", "fence", "copy", "models", "prove", "close", "switch", "clear", "land"
)  # fmt: skip
# The first step after which there is no way back: from there on the target may be open.
_POINT_OF_NO_RETURN = "close"


class MoveError(TenantError):
    """A tenant cannot be moved as asked; the message says why, and in what state it is."""


def parse_model(name: str | None) -> Model | None:
    """Return ``name`` as a model, None for none.

    Raises:
        MoveError: it is no model.
    """
    for model in MODELS:
        if name == model:
            return model
    if name is not None:
        raise MoveError(f"unknown model {name!r}: one of {', '.join(MODELS)} is needed")
    return None


def _open_move(tenant_id: UUID, settings: Settings) -> tuple[Cell, Journaled] | None:
    for cell in CELLS:
        try:
            found = open_operation_of(cell, tenant_id, settings)
        except (routing.CellUnavailableError, endpoints.EndpointError):
            continue
        if found is not None and found.verb == "move":
            return cell, found
    return None


def move_tenant(
    which: str,
    *,
    to_cell: Cell | None = None,
    to_model: Model | None = None,
    rollback: bool = False,
    settings: Settings | None = None,
    progress: Progress = silent,
) -> Tenant:
    """Move a tenant, go on with a move that was killed, or roll one back; return the tenant where it lives then.

    Args:
        which: id or subdomain.
        to_cell: the cell to live in; None for the present one, or that of the open move.
        to_model: shared, schema or database; None for the present one, or that of the open move.
        rollback: give the open move up; possible until the tenant is switched.
        settings: which platform.
        progress: told of every step.

    Raises:
        MoveError: it lives there already, there is nothing to roll back, it is too late for that, the target has no
            room or another version, or copies differ; the message says in what state the tenant is.
        ResidencyError: it or its persons may not live there.
        OperationError: another operation of the tenant is open.
        CellUnavailableError: a cell does not answer; nothing was changed.
    """
    settings = settings or get_settings()
    found = find(which, None, settings)
    begun = _open_move(found.id, settings)
    if begun is not None:
        source_cell, journaled = begun
        arguments = journaled.arguments
        if not _is_that_move(arguments, to_cell, to_model):
            raise MoveError(
                f"tenant {found.id} is being moved to {arguments['to_cell']} ({arguments['to_model']}) already: "
                "repeat that command, or roll it back with --rollback"
            )
        move = _Move(found.id, source_cell, arguments, settings)
    elif rollback:
        raise MoveError(f"tenant {found} is not being moved: there is nothing to roll back")
    else:
        arguments = {
            "from_cell": found.cell,
            "from_model": found.model,
            "to_cell": to_cell or found.cell,
            "to_model": to_model or found.model,
        }
        move = _Move(found.id, found.cell, arguments, settings)
        move.require_possible(found)
    with operation(move.source_cell, found.id, "move", arguments, settings=settings) as running:
        if rollback:
            return move.roll_back(running)
        move.remember_source(running)
        run_steps(running, move.steps(running), progress)
    return find(str(found.id), move.target_cell, settings)


def _is_that_move(arguments: Mapping[str, Any], to_cell: Cell | None, to_model: Model | None) -> bool:
    return to_cell in (None, arguments["to_cell"]) and to_model in (None, arguments["to_model"])


class _Move:
    """The steps of a move; each may run again."""

    def __init__(self, tenant_id: UUID, source_cell: Cell, arguments: Mapping[str, Any], settings: Settings) -> None:
        self.tenant_id, self.settings = tenant_id, settings
        self.source_cell: Cell = source_cell
        self.target_cell: Cell = arguments["to_cell"]
        self.source_model: Model = arguments["from_model"]
        self.target_model: Model = arguments["to_model"]
        self.crosses = self.source_cell != self.target_cell
        self._editions: dict[Cell, Edition] = {}

    # What is where

    def edition(self, cell: Cell) -> Edition:
        if cell not in self._editions:
            self._editions[cell] = edition_of(cell, self.settings)
        return self._editions[cell]

    def source_held(self, *sorts: Sort) -> list[Holding]:
        held = holdings(self.tenant_id, self.source_cell, self.source_model, self.edition(self.source_cell))
        return movable(held, *sorts)

    def target_held(self, *sorts: Sort) -> list[Holding]:
        held = holdings(self.tenant_id, self.target_cell, self.target_model, self.edition(self.target_cell))
        return movable(held, *sorts)

    def source(self) -> Tenant:
        return replace(find(str(self.tenant_id), self.source_cell, self.settings), model=self.source_model)

    def target(self, facts: Mapping[str, Any]) -> Tenant:
        row = facts["tenant"]
        return Tenant(
            self.tenant_id, self.target_cell, row["name"], row["subdomain"], row["plan"], "moving", self.target_model
        )

    @property
    def copied(self) -> tuple[Sort, ...]:
        """What has to be copied: events and what follows from them stay where they are within a cell."""
        return ("operational", "events") if self.crosses else ("operational",)

    # Before anything changes

    def require_possible(self, tenant: Tenant) -> None:
        """Fail with the reason if the move cannot be made; changes nothing."""
        if not self.crosses and self.target_model == self.source_model:
            raise MoveError(f"tenant {tenant} lives in cell {tenant.cell!r}, model {tenant.model}, already")
        if tenant.status not in ("active", "suspended"):
            raise MoveError(f"tenant {tenant} is {tenant.status}: it can be moved when that is done")
        own = placement(tenant.id, tenant.cell, tenant.model).database
        with connect(self.target_cell, "auditor", None, self.settings, verb="move") as target:
            with connect(tenant.cell, "auditor", own, self.settings, verb="move") as source:
                persons_held = holdings(tenant.id, tenant.cell, tenant.model, self.edition(tenant.cell))
                require_residency(source, tenant, persons_held, self.target_cell)
            with connect(tenant.cell, "auditor", None, self.settings, verb="move") as source:
                if self.crosses:
                    self._require_welcome(source, target, tenant)
            self._require_room()

    def _require_welcome(self, source: Connection, target: Connection, tenant: Tenant) -> None:
        row = target.execute("select cell from platform.cell").fetchone()
        if row is None or row[0] != self.target_cell:
            raise MoveError(f"the database found for cell {self.target_cell!r} is another: check its DSN")
        mine, other = archive.schema_version(source), archive.schema_version(target)
        # Variants of the editions differ in their text; the numbers say what tables there are.
        versions = [{domain: entry["version"] for domain, entry in each.items()} for each in (mine, other)]
        if versions[0] != versions[1]:
            raise MoveError(
                f"cells {self.source_cell!r} and {self.target_cell!r} are at different versions: `capstone up`"
            )
        if target.execute("select from saas.plans where plan = %s", (tenant.plan,)).fetchone() is None:
            raise MoveError(
                f"cell {self.target_cell!r} has no plan {tenant.plan!r}, plans come with its seeds: "
                f"`capstone materialize {self.target_cell}/seeds`"
            )
        taken = target.execute(
            "select id from saas.tenants where subdomain = %s or id = %s", (tenant.subdomain, tenant.id)
        ).fetchone()
        if taken is not None:
            raise MoveError(
                f"cell {self.target_cell!r} has a tenant with this subdomain or id ({taken[0]}): "
                "rename one of them first"
            )

    def _require_room(self) -> None:
        if endpoints.postgres(self.target_cell, self.settings).external and not self.settings.home.exists():
            return
        need = 0
        with ExitStack() as stack:
            open_to: dict[str | None, Connection] = {}
            for each in self.source_held(*self.copied):
                if each.database not in open_to:
                    opened = connect(self.source_cell, "auditor", each.database, self.settings, verb="move")
                    open_to[each.database] = stack.enter_context(opened)
                query = sql.SQL("select coalesce(sum(pg_column_size(r.*)), 0) from {} as r where {}")
                row = open_to[each.database].execute(query.format(each.identifier, each.of(self.tenant_id))).fetchone()
                need += int(row[0]) if row is not None else 0
        free = shutil.disk_usage(self.settings.home).free
        wanted = _SPACE_FACTOR * need + _SPARE_BYTES
        if free < wanted:
            raise MoveError(
                f"cell {self.target_cell!r} is full: {free // 1024**2} MiB are free, the move takes {wanted // 1024**2}"
            )

    # The steps

    def remember_source(self, running: Operation) -> None:
        """Keep the registry's row of the source for whoever resumes: at the end it is no longer there."""
        if "tenant" in running.facts:
            return
        with connect(self.source_cell, "auditor", None, self.settings, verb="move") as connection:
            row = connection.execute(
                "select to_jsonb(t) - 'tenant_id' from saas.tenants as t where id = %s", (self.tenant_id,)
            ).fetchone()
        if row is None:
            raise UnknownTenantError(f"tenant {self.tenant_id} is no longer in cell {self.source_cell!r}")
        running.remember(tenant=row[0])

    def steps(self, running: Operation) -> list[Step]:
        works = {
            "reserve": lambda: self.reserve(running),
            "provision": lambda: self.provision(running),
            "fence": self.fence,
            "copy": self.copy,
            "models": self.models,
            "prove": lambda: self.prove(running),
            "close": self.close,
            "switch": lambda: self.switch(running),
            "clear": lambda: self.clear(running),
            "land": self.land,
        }
        return [Step(name, works[name]) for name in STEPS]

    def reserve(self, running: Operation) -> str:
        if not self.crosses:
            return "stays in its cell"
        with connect(self.target_cell, "loader", None, self.settings, verb="move") as connection:
            register(connection, {**running.facts["tenant"], "model": self.target_model}, status="moving")
            arriving = {"from_cell": self.source_cell}
            connection.execute(
                "insert into platform.tenant_operations (tenant_id, verb, arguments) values (%s, 'arrive', %s) "
                "on conflict (tenant_id) where state in ('running', 'failed') do nothing",
                (self.tenant_id, Jsonb(arriving)),
            )
        # Of model database the tenant's own database, which a fence is for too, is not there yet.
        shared = replace(self.target(running.facts), model="shared")
        fence_writes(shared, MOVING, self.settings, reads=True)
        return f"registered in {self.target_cell}, closed"

    def provision(self, running: Operation) -> str:
        target = self.target(running.facts)
        said = provision(target, self.target_model, self.target_cell, self.settings)
        if self.crosses:
            fence_writes(target, MOVING, self.settings, reads=True)
        elif self.target_model == "database":
            self._fence_own_database()
        return said

    def _fence_own_database(self) -> None:
        """Close the new database alone: the tenant goes on being read where it lives."""
        own = placement(self.tenant_id, self.target_cell, "database").database
        with connect(self.target_cell, "migrator", own, self.settings, verb="move") as connection:
            closed = {"tenant": self.tenant_id, "reads": True, "writes": True, "reason": MOVING}
            connection.execute(statement("set_fence"), closed)
            connection.execute("call platform.announce_fence()")

    def fence(self) -> str:
        source = set_status(self.source(), "moving", self.settings)
        fence_writes(source, MOVING, self.settings)
        return "closed to writes, no writer in flight"

    def copy(self) -> str:
        """Copy all rows; what an earlier attempt copied is deleted first, so the result is the same."""
        source_held = {each.name: each for each in self.source_held(*self.copied)}
        target_held = [each for each in self.target_held(*self.copied) if each.name in source_held]
        own = next(each.database for each in target_held if each.sort == "operational")
        rows = persons = 0
        with ExitStack() as stack:
            sources: dict[str | None, Connection] = {}
            for database in dict.fromkeys(each.database for each in source_held.values()):
                opened = stack.enter_context(connect(self.source_cell, "auditor", database, self.settings, verb="move"))
                opened.execute("set transaction isolation level repeatable read, read only")
                sources[database] = opened
            for database in dict.fromkeys((own, *(each.database for each in target_held))):
                here = [each for each in target_held if each.database == database]
                with writing(
                    self.target_cell, "migrator", database, self.tenant_id, self.settings, verb="move"
                ) as target:
                    delete_rows(target, here, self.tenant_id)
                    if any(each.sort == "operational" for each in here) and self._persons_move():
                        operational = [each for each in source_held.values() if each.sort == "operational"]
                        persons = copy_persons(sources[operational[0].database], target, operational, self.tenant_id)
                    for each in here:
                        origin = source_held[each.name]
                        rows += self._copy(sources[origin.database], origin, target, each)
        if self.crosses:
            self._refresh_rollups(self.target_cell)
        return f"{rows} rows, {persons} persons"

    def _persons_move(self) -> bool:
        return self.crosses or "database" in (self.source_model, self.target_model)

    def _copy(self, source: Connection, origin: Holding, target: Connection, destination: Holding) -> int:
        given = columns(source, origin.identifier)
        blocks = row_copy.stream(
            source, origin.identifier, given, origin.of(self.tenant_id), order=ORDERED.get(origin.name)
        )
        return write_holding(target, destination, given, blocks, self.tenant_id)

    def models(self) -> str:
        """Copy what dbt built, with what is there of days whose events are no longer kept."""
        if not self.crosses:
            return "stay where they are"
        rows = 0
        with (
            connect(self.source_cell, "auditor", None, self.settings, verb="move") as source,
            writing(self.target_cell, "transformer", None, self.tenant_id, self.settings, verb="move") as target,
        ):
            for origin, destination in self._models(source, target):
                delete_rows(target, [destination], self.tenant_id)
                rows += self._copy(source, origin, target, destination)
        return f"{rows} rows of models"

    def _models(self, source: Connection, target: Connection) -> list[tuple[Holding, Holding]]:
        """Return the models that are built alike in both cells; the others are for dbt's next run there."""
        there = {each.name: each for each in self.target_held("model") if exists(target, each)}
        return [
            (each, there[each.name])
            for each in self.source_held("model")
            if each.name in there
            and exists(source, each)
            and set(columns(source, each.identifier)) == set(columns(target, there[each.name].identifier))
        ]

    def prove(self, running: Operation) -> str:
        """Compare counts and checksums of everything that was copied."""
        here, there = self.source_held(*self.copied), self.target_held(*self.copied)
        both = {each.name for each in here} & {each.name for each in there}
        if self.crosses:
            with (
                connect(self.source_cell, "auditor", None, self.settings, verb="move") as source,
                connect(self.target_cell, "auditor", None, self.settings, verb="move") as target,
            ):
                models = self._models(source, target)
            here, there = here + [one for one, _ in models], there + [other for _, other in models]
            both |= {one.name for one, _ in models}
        mine = digests(
            self.source_cell, [each for each in here if each.name in both], self.tenant_id, self.settings, verb="move"
        )
        other = digests(
            self.target_cell, [each for each in there if each.name in both], self.tenant_id, self.settings, verb="move"
        )
        differ = disagreements(mine, other)
        if differ:
            # Whoever repeats the command copies again.
            running.reached("fence")
            raise MoveError(
                f"{len(differ)} relations of tenant {self.tenant_id} differ between source and copy: "
                f"{', '.join(differ[:5])}; it lives where it lived, closed to writes. Repeat the command, or --rollback"
            )
        rows = sum(each.rows for each in mine.values())
        running.remember(proved={"relations": len(mine), "rows": rows})
        return f"{rows} rows of {len(mine)} relations are the same, by count and checksum"

    def close(self) -> str:
        """Close the source to readers too, and take along what is counted of readers until then."""
        if not self.crosses:
            return "stays in its cell"
        fence_writes(self.source(), MOVING, self.settings, reads=True)
        rows = 0
        with (
            connect(self.source_cell, "auditor", None, self.settings, verb="move") as source,
            writing(self.target_cell, "migrator", None, self.tenant_id, self.settings, verb="move") as target,
        ):
            there = {each.name: each for each in self.target_held("record")}
            for each in self.source_held("record"):
                delete_rows(target, [there[each.name]], self.tenant_id)
                rows += self._copy(source, each, target, there[each.name])
        return f"the source is closed; {rows} rows of usage went along"

    def switch(self, running: Operation) -> str:
        before: Status = running.facts["tenant"]["status"]
        if before not in ("active", "suspended"):
            before = "active"
        target = self.target(running.facts)
        with connect(self.target_cell, "loader", None, self.settings, verb="move") as connection:
            connection.execute(
                "update saas.tenants set model = %s where id = %s and model <> %s",
                (self.target_model, self.tenant_id, self.target_model),
            )
            former_tenants.forget(connection, self.tenant_id)
            connection.execute(
                "update platform.tenant_operations set state = 'done', updated_at = clock_timestamp() "
                "where tenant_id = %s and verb = 'arrive' and state in ('running', 'failed')",
                (self.tenant_id,),
            )
        if before == "suspended":
            fence_writes(target, MOVING, self.settings, reads=True)
        unfence(set_status(target, before, self.settings), self.settings)
        return f"lives in {self.target_cell}, model {self.target_model}, {before}"

    def clear(self, running: Operation) -> str:
        """Remove what the source had; of a tenant that has moved away nothing stays but that it was here."""
        gone = 0
        with connect(self.source_cell, "auditor", None, self.settings, verb="move") as connection:
            present = of_id(connection, self.source_cell, self.tenant_id) is not None
        if self.crosses and present:
            gone = self._clear_cell()
        elif not self.crosses and self.source_model == "shared":
            # The shared tables hold from now on what landing puts there.
            with writing(self.source_cell, "migrator", None, self.tenant_id, self.settings, verb="move") as connection:
                gone = delete_rows(connection, self.source_held("operational"), self.tenant_id)
        deprovision(self.tenant_id, self.source_model, self.source_cell, self.settings)
        if self.source_model == self.target_model == "database":
            # Both had a login of one name, whose password went with the first.
            provision(self.target(running.facts), self.target_model, self.target_cell, self.settings)
        return f"{gone} rows removed from the source"

    def _clear_cell(self) -> int:
        gone = 0
        with writing(self.source_cell, "transformer", None, self.tenant_id, self.settings, verb="move") as connection:
            gone += delete_rows(connection, self.source_held("model"), self.tenant_id)
        persons: list[UUID] = []
        own = placement(self.tenant_id, self.source_cell, self.source_model).database
        if own is not None and _has_database(self.source_cell, own, self.settings):
            with connect(self.source_cell, "auditor", own, self.settings, verb="move") as source:
                persons = persons_of(source, self.source_held("operational"), self.tenant_id)
        held = [each for each in self.source_held("operational", "landed", "events", "record") if each.database is None]
        with writing(self.source_cell, "migrator", None, self.tenant_id, self.settings, verb="move") as connection:
            note_persons(connection, held, self.tenant_id, persons)
            gone += delete_rows(connection, held, self.tenant_id)
            delete_unreferenced_persons(connection)
            connection.execute("delete from saas.tenants where id = %s", (self.tenant_id,))
            former_tenants.record(connection, self.tenant_id, "moved", former_tenants.new_salt())
        self._refresh_rollups(self.source_cell)
        return gone

    def land(self) -> str:
        return land(find(str(self.tenant_id), self.target_cell, self.settings), self.settings)

    # Back

    def roll_back(self, running: Operation) -> Tenant:
        """Undo everything that was done so far, and open the source again."""
        if running.step is not None and STEPS.index(running.step) >= STEPS.index(_POINT_OF_NO_RETURN):
            raise MoveError(
                f"tenant {self.tenant_id} has been switched to {self.target_cell} ({self.target_model}): it is too "
                "late to roll back. Repeat the command without --rollback to end the move; another one takes it back"
            )
        if self.crosses:
            self._undo_target()
        elif self.target_model == "shared":
            # The copies would stand where landing puts its own: it does so again below.
            with writing(self.target_cell, "migrator", None, self.tenant_id, self.settings, verb="move") as connection:
                delete_rows(connection, self.target_held("operational"), self.tenant_id)
        if self.target_model != self.source_model or self.crosses:
            deprovision(self.tenant_id, self.target_model, self.target_cell, self.settings)
        source = self.source()
        if self.source_model == "database":
            provision(source, "database", self.source_cell, self.settings)
        before: Status = "suspended" if running.facts.get("tenant", {}).get("status") == "suspended" else "active"
        source = set_status(source, before, self.settings)
        unfence(source, self.settings)
        land(source, self.settings)
        running.close("undone")
        return find(str(self.tenant_id), self.source_cell, self.settings)

    def _undo_target(self) -> None:
        with writing(self.target_cell, "transformer", None, self.tenant_id, self.settings, verb="move") as connection:
            delete_rows(connection, self.target_held("model"), self.tenant_id)
        held = [
            each
            for each in movable(
                holdings(self.tenant_id, self.target_cell, self.target_model, self.edition(self.target_cell)),
                "operational", "landed", "events", "record",
            )
            if each.database is None
        ]  # fmt: skip
        with writing(self.target_cell, "migrator", None, self.tenant_id, self.settings, verb="move") as connection:
            note_persons(connection, held, self.tenant_id)
            delete_rows(connection, held, self.tenant_id)
            delete_unreferenced_persons(connection)
            connection.execute("delete from saas.tenants where id = %s and status = 'moving'", (self.tenant_id,))
            connection.execute(
                "delete from platform.tenant_operations where tenant_id = %s and verb = 'arrive'", (self.tenant_id,)
            )
        self._refresh_rollups(self.target_cell)

    def _refresh_rollups(self, cell: Cell) -> None:
        tenant = Tenant(self.tenant_id, cell, "", "", "", "moving", "shared")
        refresh_rollups(tenant, self.edition(cell), self.settings)
        count_again(self.tenant_id, cell, self.settings)


def _has_database(cell: Cell, name: str, settings: Settings) -> bool:
    with connect(cell, "auditor", None, settings, verb="move") as connection:
        return connection.execute("select from pg_catalog.pg_database where datname = %s", (name,)).rowcount > 0
