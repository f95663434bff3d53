"""An archive of one tenant: a directory with one file per relation and a manifest, whole or not there at all.

It is written under a hidden name and renamed when every byte is on disk, so that what has an archive's name is one.
The manifest holds each file's size and SHA-256 and its own, so that damage is found before anything is made of it.
"""

import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from orchestration.cells.regions import CELLS, Cell
from orchestration.engines import sealed_json
from orchestration.engines.atomic_file import sync_directory
from orchestration.engines.passwords import owner_of_home
from orchestration.settings import Settings
from orchestration.tenancy import row_copy
from orchestration.tenancy.holdings import (
    ORDERED,
    PERSONS_OF,
    Connection,
    Holding,
    columns,
    connect,
    digest,
    edition_of,
    exists,
    holdings,
    persons_condition,
    statement,
)
from orchestration.tenancy.registry import Tenant
from orchestration.tenancy.row_copy import Format

Kind = Literal["export", "backup"]

FORMAT_VERSION = 1
MANIFEST = "manifest.json"

# Bundles of persons lie beside the exports of tenants.
BUNDLE_PREFIX = "person-"

# What is no file of an archive, and why; the manifest repeats it.
LEFT_OUT: dict[str, str] = {
    "landed": "copies of the operational rows, made again by landing",
    "journal": "the operator's record of operations, not the tenant's data",
    "registry": "in the manifest",
    "rollup": "counted from the events by the server",
}
LEFT_OUT_OF_EXPORTS: dict[str, str] = {
    "model": "derived from the other relations by dbt, pseudonymous",
}
PERSONS = ("geo.users", "geo.eu_user_data")
_PERSON_COLUMN = {"geo.users": "id", "geo.eu_user_data": "user_id"}

# Domains whose tables an archive's rows fit; the platform's own have no rows of tenants.
_SCHEMA_DOMAINS = ("geo", "saas", "ecommerce", "analytics")


class ArchiveError(RuntimeError):
    """An archive cannot be written, or is not usable; the message names it and what is wrong."""


@dataclass(frozen=True)
class ArchivedFile:
    """One relation's rows.

    Attributes:
        relation: declared name.
        sort: what rows they are; person for those of geo.
        file: name within the archive.
        columns: in the file's order.
        rows: how many.
        bytes: the file's size.
        sha256: of the file.
        digest: checksum of the rows' values in any order, see :func:`holdings.digest`.
    """

    relation: str
    sort: str
    file: str
    columns: tuple[str, ...]
    rows: int
    bytes: int
    sha256: str
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds and of what.

    Attributes:
        kind: export or backup.
        cell: the cell it was taken from.
        tenant: the tenant's row in the registry.
        schema: per domain the newest migration and a digest of all.
        taken_at: when the snapshot was taken, ISO 8601.
        expires_at: when it is removed.
        files: one per relation.
        left_out: relation -> why it is no file.
    """

    kind: Kind
    cell: Cell
    tenant: dict[str, Any]
    schema: dict[str, dict[str, Any]]
    taken_at: str
    expires_at: str
    files: tuple[ArchivedFile, ...]
    left_out: dict[str, str]

    @property
    def tenant_id(self) -> UUID:
        return UUID(self.tenant["id"])

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def file(self, relation: str) -> ArchivedFile | None:
        """Return the file of a relation, if there is one."""
        return next((each for each in self.files if each.relation == relation), None)


def directory(kind: Kind, cell: Cell, settings: Settings) -> Path:
    """Return the directory of a cell's archives of this kind; it need not exist."""
    return settings.home / f"{kind}s" / cell


def prepared(kind: Kind, cell: Cell, settings: Settings) -> Path:
    """Return the directory of a cell's archives of this kind, made if it is missing, closed to others."""
    path = directory(kind, cell, settings)
    owner = owner_of_home(settings.home)
    for each in (path.parent, path):
        if not each.is_dir():
            each.mkdir(mode=0o700, parents=True)
            if owner is not None:
                os.chown(each, *owner)
    return path


def archive_name(tenant_id: UUID, began: datetime, operation_id: UUID) -> str:
    """Return an archive's name; those of one tenant sort by time."""
    return f"{tenant_id.hex}-{began:%Y%m%dT%H%M%SZ}-{operation_id.hex[:8]}"


def archives(kind: Kind, cell: Cell, tenant_id: UUID | None, settings: Settings) -> list[Path]:
    """Return the finished archives of a tenant, or of all, oldest first."""
    place = directory(kind, cell, settings)
    prefix = f"{tenant_id.hex}-" if tenant_id else ""
    found = (path for path in place.glob(f"{prefix}*") if not path.name.startswith((".", BUNDLE_PREFIX)))
    return sorted(path for path in found if path.is_dir())


def bundles(cell: Cell, settings: Settings) -> list[Path]:
    """Return the bundles of persons among a cell's exports, and what killed runs left of some."""
    place = directory("export", cell, settings)
    return sorted(path for start in ("", ".") for path in place.glob(f"{start}{BUNDLE_PREFIX}*") if path.is_dir())


def bundles_naming(tenant_id: UUID, settings: Settings) -> list[Path]:
    """Return the bundles, in every cell, of persons who were something in the tenant: they hold rows of it.

    One that cannot be read is taken for one of them.
    """
    found = []
    for path in (each for cell in CELLS for each in bundles(cell, settings)):
        manifest = path / MANIFEST
        content = sealed_json.unsealed(manifest.read_bytes()) if manifest.is_file() else None
        if content is None or str(tenant_id) in content["tenants"]:
            found.append(path)
    return found


def partial_archives(kind: Kind, cell: Cell, tenant_id: UUID, settings: Settings) -> list[Path]:
    """Return what killed runs left of a tenant's archives."""
    return sorted(directory(kind, cell, settings).glob(f".{tenant_id.hex}-*"))


def schema_version(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return, per domain, the newest applied migration and a digest of all that were."""
    rows = connection.execute(statement("schema_version"), {"domains": list(_SCHEMA_DOMAINS)}).fetchall()
    return {domain: {"version": version, "digest": digest} for domain, version, digest in rows}


@dataclass(frozen=True)
class _Source:
    """Rows to archive: where, which, and in what order."""

    relation: str
    sort: str
    identifier: sql.Identifier
    condition: sql.Composable
    order: str | None = None


def begin_snapshot(connection: Connection) -> None:
    """Begin a transaction that reads one snapshot of its database, for as long as it takes."""
    connection.execute("set transaction isolation level repeatable read, read only")
    connection.execute("set local timezone = 'UTC'")
    # The first statement that reads takes the snapshot; COPY of a large table may take longer than a request may.
    connection.execute("set local statement_timeout = 0")
    connection.execute("select 1 from platform.cell")


def _persons(held: Sequence[Holding], tenant_id: UUID) -> list[_Source]:
    place = {each.name: each.identifier for each in held if each.sort == "operational" and each.name in PERSONS_OF}
    return [
        _Source(
            name,
            "person",
            sql.Identifier(*name.split(".")),
            persons_condition(place, tenant_id, _PERSON_COLUMN[name]),
        )
        for name in PERSONS
    ]


def _archive(connection: Connection, source: _Source, place: Path, form: Format) -> ArchivedFile:
    suffix = "csv" if form == "csv" else "copy"
    name = f"{source.relation}.{suffix}"
    chosen = columns(connection, source.identifier)
    counted = digest(connection, source.identifier, chosen, source.condition)
    blocks = row_copy.stream(connection, source.identifier, chosen, source.condition, order=source.order, form=form)
    size, checksum = row_copy.write_file(place / name, blocks)
    return ArchivedFile(source.relation, source.sort, name, chosen, counted.rows, size, checksum, counted.checksum)


def _registered(connection: Connection, tenant: Tenant) -> dict[str, Any]:
    row = connection.execute(
        "select to_jsonb(t) - 'tenant_id' from saas.tenants as t where t.id = %s", (tenant.id,)
    ).fetchone()
    if row is None:
        raise ArchiveError(f"tenant {tenant.id} is no longer in cell {tenant.cell!r}")
    return dict(row[0])


def write(kind: Kind, tenant: Tenant, name: str, *, form: Format, kept_days: int, settings: Settings) -> Manifest:
    """Write a partial archive, on disk when this returns; :func:`publish` makes it one.

    What each database holds is read in one transaction, REPEATABLE READ, so it is one snapshot of it. A tenant with a
    database of its own has two, begun one after the other: its own, and the cell's with its events.

    Raises:
        ArchiveError: there is no space, or the tenant is gone.
    """
    place = prepared(kind, tenant.cell, settings)
    for left in partial_archives(kind, tenant.cell, tenant.id, settings):
        shutil.rmtree(left)
    partial = place / f".{name}"
    partial.mkdir(mode=0o700)
    try:
        manifest = _write_files(kind, tenant, partial, form=form, kept_days=kept_days, settings=settings)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise ArchiveError(
            f"the {kind} could not be written to {place}: {error.strerror}; make room and repeat"
        ) from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return manifest


def _write_files(
    kind: Kind, tenant: Tenant, partial: Path, *, form: Format, kept_days: int, settings: Settings
) -> Manifest:
    held = holdings(tenant.id, tenant.cell, tenant.model, edition_of(tenant.cell, settings))
    reasons = LEFT_OUT | (LEFT_OUT_OF_EXPORTS if kind == "export" else {})
    own = next((each.database for each in held if each.sort == "operational"), None)
    taken_at = datetime.now(UTC)
    files: list[ArchivedFile] = []
    left_out: dict[str, str] = {}
    open_to: dict[str | None, Connection] = {}
    try:
        # All snapshots first, so that they are as near to each other as can be.
        for database in dict.fromkeys((None, own)):
            open_to[database] = connect(tenant.cell, "auditor", database, settings, verb=kind)
            begin_snapshot(open_to[database])
        registered, version = _registered(open_to[None], tenant), schema_version(open_to[None])
        sources = [(own, each) for each in _persons(held, tenant.id)]
        for each in held:
            if each.sort in reasons:
                left_out.setdefault(each.name, reasons[each.sort])
            elif each.sort == "model" and not exists(open_to[None], each):
                left_out[each.name] = "not built yet"
            else:
                source = _Source(each.name, each.sort, each.identifier, each.of(tenant.id), ORDERED.get(each.name))
                sources.append((each.database, source))
        for database, source in sources:
            files.append(_archive(open_to[database], source, partial, form))
            left_out.pop(source.relation, None)
    finally:
        for connection in open_to.values():
            connection.close()
    manifest = Manifest(
        kind,
        tenant.cell,
        registered,
        version,
        taken_at.isoformat(timespec="seconds"),
        (taken_at + timedelta(days=kept_days)).isoformat(timespec="seconds"),
        tuple(files),
        left_out,
    )
    _write_manifest(partial / MANIFEST, manifest)
    sync_directory(partial)
    return manifest


def _write_manifest(path: Path, manifest: Manifest) -> None:
    text = sealed_json.sealed({"format": FORMAT_VERSION, **asdict(manifest)})
    row_copy.write_file(path, iter([text.encode()]))


def publish(kind: Kind, cell: Cell, name: str, settings: Settings) -> Path:
    """Give the partial archive its name; a second call finds it there.

    Raises:
        ArchiveError: neither is there.
    """
    place = directory(kind, cell, settings)
    final, partial = place / name, place / f".{name}"
    if not final.is_dir():
        if not (partial / MANIFEST).is_file():
            raise ArchiveError(f"{partial} is gone: begin the {kind} again")
        owner = owner_of_home(settings.home)
        if owner is not None:
            for each in (partial, *partial.iterdir()):
                os.chown(each, *owner)
        partial.rename(final)
        sync_directory(place)
    return final


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of an archive.

    Raises:
        ArchiveError: there is none, it is damaged, or of another format.
    """
    try:
        content = sealed_json.unsealed((path / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ArchiveError(f"{path} is no archive: {MANIFEST} is missing") from None
    if content is None:
        raise ArchiveError(f"{path / MANIFEST} is damaged: it is not what was written; use another archive")
    if content.get("format") != FORMAT_VERSION:
        raise ArchiveError(f"{path} has format {content.get('format')!r}; this version reads {FORMAT_VERSION}")
    files = tuple(ArchivedFile(**{**each, "columns": tuple(each["columns"])}) for each in content["files"])
    fields = {key: content[key] for key in ("kind", "cell", "tenant", "schema", "taken_at", "expires_at", "left_out")}
    return replace(Manifest(**fields, files=()), files=files)


def verify(path: Path) -> Manifest:
    """Check every byte of an archive against its manifest, and return that.

    Raises:
        ArchiveError: a file is missing, of another size, changed, or none of the archive's.
    """
    manifest = read_manifest(path)
    expected = {each.file for each in manifest.files} | {MANIFEST}
    found = {each.name for each in path.iterdir()}
    if expected != found:
        wrong = ", ".join(sorted(expected ^ found)[:5])
        raise ArchiveError(f"{path} is damaged: files are missing or foreign: {wrong}")
    for each in manifest.files:
        _verify_file(path / each.file, each)
    return manifest


def _verify_file(path: Path, expected: ArchivedFile) -> None:
    if path.stat().st_size != expected.bytes:
        raise ArchiveError(f"{path} is damaged: it has {path.stat().st_size} bytes instead of {expected.bytes}")
    checksum = hashlib.sha256()
    for block in row_copy.read_file(path):
        checksum.update(block)
    if checksum.hexdigest() != expected.sha256:
        raise ArchiveError(f"{path} is damaged: its content is not what was written; use another archive")


def remove(paths: Iterable[Path]) -> int:
    """Remove archives, the manifest first, so that what is left of an interrupted removal is no archive."""
    count = 0
    for path in paths:
        (path / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path)
        count += 1
    return count
