"""Backup and restore of one tenant, without touching any other.

A backup is an archive of binary COPY files with an expiry. A restore replaces exactly the tenant's rows, behind its
fence, in one transaction per database; whatever is wrong with the backup is found before anything is changed.
"""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from psycopg.types.json import Jsonb

from orchestration.cells import routing
from orchestration.cells.journal import Progress, Step, run_steps, silent
from orchestration.cells.regions import CELLS, Cell
from orchestration.persons import restoring
from orchestration.persons.personal_rows import Place
from orchestration.settings import Settings, get_settings
from orchestration.tenancy import archive, former_tenants, row_copy
from orchestration.tenancy.archive import ArchivedFile, ArchiveError, Kind, Manifest
from orchestration.tenancy.derived_rows import count_again, land, refresh_rollups
from orchestration.tenancy.exporting import Archived, archived
from orchestration.tenancy.holdings import (
    Connection,
    Holding,
    Sort,
    columns,
    digest,
    edition_of,
    exists,
    holdings,
    statement,
)
from orchestration.tenancy.placement import placement
from orchestration.tenancy.provisioning import provision
from orchestration.tenancy.registry import Status, Tenant, UnknownTenantError, find, of_id
from orchestration.tenancy.row_replacement import (
    delete_rows,
    delete_unreferenced_persons,
    movable,
    note_persons,
    write_holding,
    write_persons,
    writing,
)
from orchestration.tenancy.steps import open_operation_of, operation
from orchestration.tenancy.suspension import fence_writes, set_status, unfence

# A tenant that was erased elsewhere must not live on in old backups: a month is the most that an erasure may take.
BACKUP_KEPT_DAYS = 30

RESTORING = "it is being restored from a backup"


class RestoreError(RuntimeError):
    """A backup cannot be restored as asked; nothing was changed. The message says why and what to do."""


def backup_tenant(
    tenant: Tenant, *, settings: Settings | None = None, progress: Progress = silent, kept_days: int = BACKUP_KEPT_DAYS
) -> Archived:
    """Back ``tenant`` up to ``backups/<cell>`` in the state directory; what has expired there is removed first.

    Raises:
        OperationError: another process works on the tenant, or another operation of it is open.
        ArchiveError: it could not be written.
        CellUnavailableError: the cell does not answer.
    """
    settings = settings or get_settings()
    remove_expired("backup", tenant.cell, settings=settings)
    return archived("backup", tenant, form="binary", kept_days=kept_days, settings=settings, progress=progress)


def remove_expired(kind: Kind, cell: Cell, *, now: datetime | None = None, settings: Settings | None = None) -> int:
    """Remove the cell's exports or backups whose time is over, and return how many; unreadable ones stay."""
    settings, now = settings or get_settings(), now or datetime.now(UTC)
    expired = []
    for path in archive.archives(kind, cell, None, settings):
        try:
            manifest = archive.read_manifest(path)
        except ArchiveError:
            continue
        if datetime.fromisoformat(manifest.expires_at) <= now:
            expired.append(path)
    return archive.remove(expired)


def choose_backup(which: str, *, cell: Cell | None = None, settings: Settings | None = None) -> Path:
    """Return the newest backup of a tenant, given by id, subdomain or the backup's own path or name.

    A tenant that is no longer there is found by its id, or by the subdomain that its backups remember.

    Raises:
        RestoreError: there is none.
    """
    settings = settings or get_settings()
    if (Path(which) / archive.MANIFEST).is_file():
        return Path(which)
    found = []
    for each in [cell] if cell else CELLS:
        for path in archive.archives("backup", each, None, settings):
            try:
                manifest = archive.read_manifest(path)
            except ArchiveError:
                continue
            if which in (str(manifest.tenant_id), manifest.tenant["subdomain"], path.name):
                found.append((manifest.taken_at, path))
    if not found:
        places = ", ".join(str(archive.directory("backup", each, settings)) for each in ([cell] if cell else CELLS))
        raise RestoreError(f"there is no backup of {which!r} in {places}: `capstone tenant backup` makes one")
    return max(found)[1]


def _checked(path: Path, settings: Settings, *, now: datetime, even_if_erased: bool) -> tuple[Manifest, Tenant | None]:
    """Check everything that can be wrong before anything is changed."""
    manifest = archive.verify(path)
    if manifest.kind != "backup":
        raise RestoreError(f"{path} is an {manifest.kind}, which cannot be restored: a backup is needed")
    if datetime.fromisoformat(manifest.expires_at) <= now:
        raise RestoreError(f"{path} expired on {manifest.expires_at}: what was erased since must not come back")
    cell, tenant_id = manifest.cell, manifest.tenant_id
    with routing.connect(cell, "auditor", autocommit=True, settings=settings) as connection:
        row = connection.execute("select cell from platform.cell").fetchone()
        if row is None or row[0] != cell:
            raise RestoreError(f"{path} is of cell {cell!r}, and the database found there is another: check its DSN")
        version = archive.schema_version(connection)
        if version != manifest.schema:
            differ = [d for d in sorted(version | manifest.schema) if version.get(d) != manifest.schema.get(d)]
            raise RestoreError(
                f"{path} was taken at another version of {', '.join(differ)} "
                f"(then {_versions(manifest.schema)}, now {_versions(version)}): restore it with that version"
            )
        tenant = of_id(connection, cell, tenant_id)
        why = former_tenants.why_former(connection, tenant_id)
        if tenant is None and why == "erased" and not even_if_erased:
            raise RestoreError(
                f"tenant {tenant_id} was erased from cell {cell!r}, and a copy that was kept elsewhere must not bring "
                "it back; if it asked for that, repeat with --even-if-erased"
            )
        taken = connection.execute(
            "select id from saas.tenants where subdomain = %s and id <> %s", (manifest.tenant["subdomain"], tenant_id)
        ).fetchone()
        if tenant is None and taken is not None:
            raise RestoreError(
                f"another tenant has the subdomain {manifest.tenant['subdomain']!r} now: rename it first"
            )
    for other in CELLS:
        if other != cell:
            _require_absent(other, tenant_id, settings)
    return manifest, tenant


def _versions(schema: dict[str, dict[str, object]]) -> str:
    return ", ".join(f"{domain} {entry['version']}" for domain, entry in sorted(schema.items()))


def _require_absent(cell: Cell, tenant_id: object, settings: Settings) -> None:
    try:
        found = find(str(tenant_id), cell, settings)
    except UnknownTenantError:
        return
    raise RestoreError(
        f"tenant {found} lives in cell {cell!r} now: a restore elsewhere would give it two homes. Move it back first"
    )


def restore_tenant(
    path: Path,
    *,
    cell: Cell | None = None,
    settings: Settings | None = None,
    progress: Progress = silent,
    even_if_erased: bool = False,
) -> Tenant:
    """Replace a tenant's rows by those of the backup at ``path``, or bring a deleted tenant back.

    Its plan, status and model stay what they are now; a deleted tenant has those of the backup. Persons who are there
    stay as they are, those whom only rows of this tenant named that are replaced go.

    Args:
        path: the backup's directory.
        cell: where it is expected to belong; None for wherever it was taken.
        settings: which platform.
        progress: told of every step.
        even_if_erased: also when the tenant was erased.

    Raises:
        ArchiveError: the backup is damaged.
        RestoreError: it is of another cell or version, expired, or the tenant lives elsewhere; nothing was changed.
        OperationError: another operation of the tenant is open.
        CellUnavailableError: a cell does not answer.
    """
    settings = settings or get_settings()
    read = archive.read_manifest(path)
    if cell is not None and read.cell != cell:
        raise RestoreError(f"{path} was taken in cell {read.cell!r}, not in {cell!r}: a backup belongs to its cell")
    home, tenant_id = read.cell, read.tenant_id
    begun = open_operation_of(home, tenant_id, settings)
    if begun is None or begun.verb != "restore":
        _checked(path, settings, now=datetime.now(UTC), even_if_erased=even_if_erased)
    with operation(home, tenant_id, "restore", {"backup": path.name}, settings=settings) as running:
        # A killed restore is checked again too: the file may have been damaged since. It is not judged by what it did.
        manifest = archive.verify(path)
        restore = _Restore(path, manifest, settings)
        run_steps(
            running,
            [
                Step("register", restore.register),
                Step("fence", restore.fence),
                Step("provision", restore.provision),
                Step("replace", restore.replace),
                Step("models", restore.models),
                Step("open", restore.open),
                # Landing is a load like others: no fence lets it pass.
                Step("land", restore.land),
            ],
            progress,
        )
        return restore.tenant()


class _Restore:
    """The steps of a restore; each may run again."""

    def __init__(self, path: Path, manifest: Manifest, settings: Settings) -> None:
        self.path, self.manifest, self.settings = path, manifest, settings
        self.cell, self.tenant_id = manifest.cell, manifest.tenant_id
        self.edition = edition_of(self.cell, settings)

    def tenant(self) -> Tenant:
        return find(str(self.tenant_id), self.cell, self.settings)

    def held(self) -> tuple[Holding, ...]:
        return holdings(self.tenant_id, self.cell, self.tenant().model, self.edition)

    def register(self) -> str:
        with routing.connect(self.cell, "loader", settings=self.settings) as connection:
            before = of_id(connection, self.cell, self.tenant_id)
            if before is None:
                register(connection, self.manifest.tenant, status="provisioning")
                former_tenants.forget(connection, self.tenant_id)
                return "was deleted, is registered again"
        return "is there"

    def fence(self) -> str:
        tenant = self.tenant()
        if tenant.model == "database" and tenant.status == "provisioning":
            return "has no database yet"
        fence_writes(tenant, RESTORING, self.settings)
        return "closed to writes, no writer in flight"

    def provision(self) -> str:
        tenant = self.tenant()
        if tenant.status != "provisioning":
            return "has its place"
        said = provision(tenant, tenant.model, self.cell, self.settings)
        fence_writes(tenant, RESTORING, self.settings)
        return said

    def replace(self) -> str:
        """Replace all rows but those of models; the tenant's own database first, which persons are asked of."""
        # A restore takes back what the tenant did, not that it used the service; a deleted one has no usage but that.
        records: tuple[Sort, ...] = ("record",) if self.tenant().status == "provisioning" else ()
        held = movable(self.held(), "operational", "events", *records)
        own = next(each.database for each in held if each.sort == "operational")
        deleted = written = erased = 0
        for database in dict.fromkeys((own, None)):
            here = [each for each in held if each.database == database]
            with writing(self.cell, "migrator", database, self.tenant_id, self.settings, verb="restore") as connection:
                counts = self._replace_in(connection, here)
                erased += self._erase_again(connection, database, own)
            deleted, written = deleted + counts[0], written + counts[1]
        refresh_rollups(self.tenant(), self.edition, self.settings)
        count_again(self.tenant_id, self.cell, self.settings)
        again = f"; {erased} persons were erased again" if erased else ""
        return f"{deleted} rows went, {written} came back{again}"

    def _erase_again(self, connection: Connection, database: str | None, own: str | None) -> int:
        """Erase those who came back with the backup and were erased since, before anybody sees them."""
        erased = 0
        if database == own:
            schemas = placement(self.tenant_id, self.cell, self.tenant().model).schemas
            place = Place(self.cell, database, schemas["saas"], schemas["ecommerce"])
            erased = restoring.erase_again(connection, place, self.tenant_id, self.settings)
        if database is None:
            restoring.delete_rows_of_former_users(connection, self.tenant_id, "analytics")
        return erased

    def _replace_in(self, connection: Connection, held: list[Holding]) -> tuple[int, int]:
        operational = any(each.sort == "operational" for each in held)
        events = any(each.sort == "events" for each in held)
        if events:
            restoring.note_former_users(connection, self.tenant_id)
        if operational:
            note_persons(connection, held, self.tenant_id)
        deleted = delete_rows(connection, held, self.tenant_id)
        if operational:
            for name in archive.PERSONS:
                file = self.manifest.file(name)
                if file is not None:
                    write_persons(connection, name, file.columns, row_copy.read_file(self.path / file.file))
        written = sum(self._write(connection, each) for each in held)
        if events:
            restoring.keep_former_users(connection)
        if operational:
            delete_unreferenced_persons(connection)
        return deleted, written

    def _write(self, connection: Connection, holding: Holding) -> int:
        file = self.manifest.file(holding.name)
        if file is None:
            return 0
        blocks = row_copy.read_file(self.path / file.file)
        count = write_holding(connection, holding, file.columns, blocks, self.tenant_id)
        self._require_equal(connection, holding, file)
        return count

    def _require_equal(self, connection: Connection, holding: Holding, file: ArchivedFile) -> None:
        found = digest(connection, holding.identifier, file.columns, holding.of(self.tenant_id))
        if (found.rows, found.checksum) != (file.rows, file.digest):
            raise RestoreError(
                f"{holding.name} has {found.rows} rows after the restore, the backup has {file.rows}, or their values "
                "differ: nothing of this database was changed"
            )

    def models(self) -> str:
        """Replace what dbt built, as far as it is built here with the same columns; the next run rebuilds the rest."""
        written, passed = 0, 0
        held = movable(self.held(), "model")
        with writing(self.cell, "transformer", None, self.tenant_id, self.settings, verb="restore") as connection:
            for each in held:
                file = self.manifest.file(each.name)
                if not exists(connection, each):
                    continue
                if file is None or set(columns(connection, each.identifier)) != set(file.columns):
                    passed += 1
                    continue
                delete_rows(connection, [each], self.tenant_id)
                written += self._write(connection, each)
            written -= restoring.delete_rows_of_former_users(connection, self.tenant_id, "intermediate")
        return f"{written} rows of models" + (f"; {passed} models are for the next dbt run" if passed else "")

    def land(self) -> str:
        return land(self.tenant(), self.settings)

    def open(self) -> str:
        tenant = self.tenant()
        if tenant.status == "provisioning":
            before: Status = "suspended" if self.manifest.tenant["status"] == "suspended" else "active"
            tenant = set_status(replace(tenant), before, self.settings)
            if before == "suspended":
                fence_writes(tenant, RESTORING, self.settings, reads=True)
        unfence(tenant, self.settings)
        return tenant.status


def register(connection: Connection, row: dict[str, object], *, status: Status) -> None:
    """Insert a tenant's row of the registry as an archive has it, with another status."""
    connection.execute(statement("register_tenant"), {"tenant": Jsonb({**row, "status": status})})
