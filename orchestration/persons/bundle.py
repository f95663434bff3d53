"""A bundle of one person: every row about them as JSON and as CSV, with a manifest, whole or not there at all.

The JSON is exact. In the CSV, which people open in spreadsheets, a text that would be taken for a formula has an
apostrophe before it; the manifest says so. It lies among the exports of the person's home cell, 0700 and 0600.
"""

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg import sql

from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.relations import Edition, load_relations
from orchestration.cells.stores import stores
from orchestration.engines import sealed_json
from orchestration.engines.atomic_file import sync_directory
from orchestration.persons.live_entries import client_of, entries_of, read_entries, users_of
from orchestration.persons.notices import notices
from orchestration.persons.personal_rows import KEPT_TWICE, OF_ACCOUNT, OF_PERSON, OF_USER, Account, condition
from orchestration.persons.statements import statement
from orchestration.persons.whereabouts import Whereabouts, store_of
from orchestration.settings import Settings
from orchestration.tenancy import archive, row_copy
from orchestration.tenancy.archive import MANIFEST
from orchestration.tenancy.holdings import Connection, connect

FORMAT_VERSION = 1
# For handing over, not for keeping: whoever asked has fetched it within a month.
KEPT_DAYS = 30

# Secrets of an account are no information about a person, and would be worth stealing.
WITHHELD: Mapping[str, frozenset[str]] = {"ecommerce.users": frozenset({"password_hash"})}
_WITHHELD_VALUE = "withheld"

# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FETCHED_AT_ONCE = 1000

_LIVE_COLUMNS = (
    ("stream", "text", "Key in the cell's Redis: the queue, refused events, or the newest of a tenant"),
    ("position", "text", "Place of the entry in the stream: milliseconds since 1970 and a number"),
    ("entry", "json", "What the entry says"),
)


class BundleError(RuntimeError):
    """A bundle could not be written, or is not what was written; names it and what to do."""


@dataclass(frozen=True)
class Column:
    """A column of a file: its name, type and what the database says of it."""

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class BundledFile:
    """The rows of one relation in one place, as JSON and as CSV.

    Attributes:
        relation: by its declared name; for entries of Redis ``redis``.
        store: the store that it is of.
        cell: where the rows are.
        tenant: whose rows, None for the person's own.
        rows: how many.
        json, csv: names of the files.
        json_sha256, csv_sha256: of their content.
        columns: in the order of the CSV.
    """

    relation: str
    store: str
    cell: Cell
    tenant: str | None
    rows: int
    json: str
    csv: str
    json_sha256: str
    csv_sha256: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Bundle:
    """A written bundle: where it is, what it holds, until when it is kept."""

    path: Path
    rows: int
    files: tuple[BundledFile, ...]
    expires_at: str


@dataclass(frozen=True)
class _Source:
    relation: str
    identifier: sql.Identifier
    condition: sql.Composed
    account: Account | None

    def label(self, cell: Cell) -> str:
        if self.account is None:
            return f"{cell}.{self.relation}"
        return f"{cell}.{self.account.tenant_id}.{self.relation}"


def _sources(found: Whereabouts, cell: Cell, database: str | None, edition_relations: frozenset[str]) -> list[_Source]:
    sources = [
        _Source(name, sql.Identifier(*name.split(".")), condition(name, found.person_id), None) for name in OF_PERSON
    ]
    for account in found.of(cell, database):
        # Copies that landing makes are the rows of the tenant's own place, with less in them.
        if not account.is_landed:
            sources += [
                _Source(name, account.place.identifier(name), condition(name, found.person_id, account), account)
                for name in OF_ACCOUNT
            ]
    if database is None:
        for account in by_user(found.accounts, cell):
            sources += [
                _Source(name, sql.Identifier(*name.split(".")), condition(name, found.person_id, account), account)
                for name in OF_USER
                if name in edition_relations and name not in KEPT_TWICE
            ]
    return sources


def by_user(accounts: Iterable[Account], cell: Cell) -> list[Account]:
    """Return one account per tenant of the cell in which the person is a shopper, for what lies in the cell's database.

    Of a tenant with a place of its own there may be two: its own and the landed copy, whose numbers are the same.
    """
    merged: dict[UUID, Account] = {}
    for each in accounts:
        if each.place.cell != cell or not each.shoppers:
            continue
        before = merged.get(each.tenant_id)
        numbers = {*each.shoppers, *(before.shoppers if before else ())}
        merged[each.tenant_id] = Account(each.tenant_id, each.model, each.place, tuple(sorted(numbers)), ())
    return list(merged.values())


def _guarded(value: str | None, *, is_text: bool) -> str | None:
    return f"'{value}" if value and is_text and value.startswith(_FORMULA) else value


class _Writer:
    """Writes one relation's two files row by row."""

    def __init__(self, place: Path, label: str, columns: Sequence[Column]) -> None:
        self.json, self.csv = f"{label}.json", f"{label}.csv"
        self.rows = 0
        self._place, self._columns = place, columns

    def write(self, rows: Iterator[tuple[str, list[str | None]]]) -> tuple[str, str]:
        """Write rows of (JSON text, values as text); return both checksums."""
        hashes = (hashlib.sha256(), hashlib.sha256())
        with _private(self._place / self.json) as as_json, _private(self._place / self.csv) as as_csv:

            def put(file: Any, which: int, text: str) -> None:
                content = text.encode()
                hashes[which].update(content)
                file.write(content)

            put(as_json, 0, "[")
            put(as_csv, 1, _csv_line([column.name for column in self._columns]))
            for document, values in rows:
                put(as_json, 0, (",\n" if self.rows else "\n") + document)
                put(as_csv, 1, _csv_line(values))
                self.rows += 1
            put(as_json, 0, "\n]\n")
            for file in (as_json, as_csv):
                file.flush()
                os.fsync(file.fileno())
        return hashes[0].hexdigest(), hashes[1].hexdigest()


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _csv_line(values: Sequence[str | None]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


def _described(connection: Connection, source: _Source) -> tuple[list[Column], list[bool]]:
    rows = connection.execute(
        statement("columns_described").encode(), {"relation": source.identifier.as_string(None)}
    ).fetchall()
    withheld = WITHHELD.get(source.relation, frozenset())
    columns = [
        Column(name, kind, f"{said}. Not part of a bundle: a secret of the account" if name in withheld else said)
        for name, kind, said, _ in rows
    ]
    return columns, [bool(is_text) for *_, is_text in rows]


def _rows(
    connection: Connection, source: _Source, columns: Sequence[Column], texts: Sequence[bool]
) -> Iterator[tuple[str, list[str | None]]]:
    withheld = WITHHELD.get(source.relation, frozenset())
    chosen = sql.SQL(", ").join(
        sql.SQL("{} as {}").format(sql.Literal(_WITHHELD_VALUE), sql.Identifier(column.name))
        if column.name in withheld
        else sql.Identifier(column.name)
        for column in columns
    )
    query = sql.SQL("select row_to_json(r)::text, array[{}] from (select {} from {} where {}) as r").format(
        sql.SQL(", ").join(sql.SQL("r.{}::text").format(sql.Identifier(column.name)) for column in columns),
        chosen,
        source.identifier,
        source.condition,
    )
    with connection.cursor(name="bundle") as cursor:
        cursor.itersize = _FETCHED_AT_ONCE
        cursor.execute(query)
        for document, values in cursor:
            yield document, [_guarded(value, is_text=text) for value, text in zip(values, texts, strict=True)]


def _exists(connection: Connection, identifier: sql.Identifier) -> bool:
    row = connection.execute("select to_regclass(%s) is not null", (identifier.as_string(None),)).fetchone()
    return row is not None and bool(row[0])


def _write_database(
    connection: Connection, found: Whereabouts, cell: Cell, database: str | None, place: Path
) -> tuple[list[BundledFile], dict[str, list[str]]]:
    """Write one database's rows; return the files, and the relations that were searched, by store."""
    row = connection.execute("select current_setting('timescaledb.license', true)").fetchone()
    edition: Edition = "community" if row is not None and row[0] == "timescale" else "apache"
    declared = frozenset(each.name for each in load_relations(edition))
    files: list[BundledFile] = []
    searched: dict[str, list[str]] = {}
    for source in _sources(found, cell, database, declared):
        # A model that dbt has not built holds nothing.
        if not _exists(connection, source.identifier):
            continue
        store = store_of(source.relation, source.account.place if source.account else None, database)
        searched.setdefault(store, []).append(source.label(cell))
        columns, texts = _described(connection, source)
        writer = _Writer(place, ("database." if database else "") + source.label(cell), columns)
        json_sha256, csv_sha256 = writer.write(_rows(connection, source, columns, texts))
        if not writer.rows:
            for name in (writer.json, writer.csv):
                (place / name).unlink()
            continue
        tenant = str(source.account.tenant_id) if source.account else None
        files.append(
            BundledFile(
                source.relation,
                store,
                cell,
                tenant,
                writer.rows,
                writer.json,
                writer.csv,
                json_sha256,
                csv_sha256,
                tuple(columns),
            )
        )
    return files, searched


def _write_live(found: Whereabouts, cell: Cell, place: Path, settings: Settings) -> list[BundledFile]:
    users = users_of(each for each in found.accounts if each.place.cell == cell)
    with client_of(cell, settings) as client:
        said = read_entries(client, entries_of(client, users))
    if not said:
        return []
    columns = [Column(*each) for each in _LIVE_COLUMNS]
    files: list[BundledFile] = []
    for store, entries in (
        ("counters", [each for each in said if each["stream"].startswith("rt:")]),
        ("queue", [each for each in said if not each["stream"].startswith("rt:")]),
    ):
        if not entries:
            continue
        writer = _Writer(place, f"{cell}.redis.{store}", columns)
        sums = writer.write(
            (json.dumps(each), [each["stream"], each["position"], json.dumps(each["entry"])]) for each in entries
        )
        files.append(
            BundledFile("redis", store, cell, None, writer.rows, writer.json, writer.csv, *sums, tuple(columns))
        )
    return files


def copies_of(person_id: UUID, settings: Settings) -> dict[str, list[Path]]:
    """Return the exports, bundles and backups that hold a person, by kind: found by the person's id in their files."""
    text, raw = str(person_id).encode(), person_id.bytes
    found: dict[str, list[Path]] = {"export": [], "bundle": [], "backup": []}
    for cell in CELLS:
        found["bundle"] += [each for each in archive.bundles(cell, settings) if _is_bundle_of(each, person_id)]
        for kind, file, wanted in (
            ("export", "geo.users.csv", text),
            ("backup", "geo.users.copy", raw),
        ):
            directory = archive.directory(kind, cell, settings)  # type: ignore[arg-type]
            for path in sorted(directory.glob(f"*/{file}")) + sorted(directory.glob(f".*/{file}")):
                if holds(path, wanted):
                    found[kind].append(path.parent)
    return found


def _is_bundle_of(path: Path, person_id: UUID) -> bool:
    content = sealed_json.unsealed((path / MANIFEST).read_bytes()) if (path / MANIFEST).is_file() else None
    # What cannot be read any more is taken for the person's: rather removed too often than kept.
    return content is None or content.get("person") == str(person_id)


def holds(path: Path, wanted: bytes) -> bool:
    """Return whether a file holds these bytes, also across two of the blocks that it is read in."""
    tail = b""
    for block in row_copy.read_file(path):
        if wanted in tail + block:
            return True
        tail = block[-len(wanted) :]
    return False


def write(
    found: Whereabouts, name: str, settings: Settings, *, home: Cell | None = None, kept_days: int = KEPT_DAYS
) -> None:
    """Write a partial bundle from one snapshot per database; :func:`archive.publish` gives it its name.

    Raises:
        BundleError: there is no room.
        CellUnavailableError: a cell does not answer; nothing is left behind.
        LiveEntriesError: Redis of a cell does not answer; nothing is left behind.
    """
    directory = archive.prepared("export", home or found.home, settings)
    partial = directory / f".{name}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        _write_files(found, partial, settings, kept_days)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise BundleError(
            f"the bundle could not be written to {directory}: {error.strerror}; make room and repeat"
        ) from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _write_files(found: Whereabouts, partial: Path, settings: Settings, kept_days: int) -> None:
    taken_at = datetime.now(UTC)
    files: list[BundledFile] = []
    searched: dict[str, list[str]] = {}
    open_to: dict[tuple[Cell, str | None], Connection] = {}
    try:
        # All snapshots first, so that they are as near to each other as can be.
        for cell in found.cells:
            for database in found.databases(cell):
                open_to[cell, database] = connect(cell, "auditor", database, settings, verb="person access")
                archive.begin_snapshot(open_to[cell, database])
        for (cell, database), connection in open_to.items():
            written, looked_at = _write_database(connection, found, cell, database, partial)
            files += written
            for store, names in looked_at.items():
                searched.setdefault(store, []).extend(names)
        for cell in found.cells:
            files += _write_live(found, cell, partial, settings)
    finally:
        for connection in open_to.values():
            connection.close()
    copies = copies_of(found.person_id, settings)
    content = {
        "format": FORMAT_VERSION,
        "kind": "person",
        "person": str(found.person_id),
        "region": found.region,
        "cells": found.cells,
        "tenants": [str(each) for each in found.tenants],
        "taken_at": taken_at.isoformat(timespec="seconds"),
        "expires_at": (taken_at + timedelta(days=kept_days)).isoformat(timespec="seconds"),
        "csv": "a text that begins like a formula has an apostrophe before it; the JSON is exact",
        "files": [asdict(each) for each in files],
        "stores": _stores(files, searched, copies),
    }
    row_copy.write_file(partial / MANIFEST, iter([sealed_json.sealed(content).encode()]))
    sync_directory(partial)


def _stores(
    files: Sequence[BundledFile], searched: Mapping[str, list[str]], copies: Mapping[str, list[Path]]
) -> list[dict[str, Any]]:
    """Return an entry for every store: what of the person is there, or why nothing is."""
    told: list[dict[str, Any]] = []
    for each in stores():
        notice = notices()[each.name]
        entry: dict[str, Any] = {"store": each.name, "what": each.description, **asdict(notice)}
        if notice.access == "exported":
            entry["rows"] = sum(file.rows for file in files if file.store == each.name)
            entry["searched"] = searched.get(each.name, []) or list(each.where)
        elif notice.access == "searched":
            kinds = ("export", "bundle") if each.name == "exports" else ("backup",)
            entry["copies"] = [path.name for kind in kinds for path in copies[kind]]
        told.append(entry)
    return told


def read(path: Path) -> dict[str, Any]:
    """Return the manifest of a bundle.

    Raises:
        BundleError: there is none, or it is not what was written.
    """
    try:
        content = sealed_json.unsealed((path / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{path} is no bundle: {MANIFEST} is missing") from None
    if content is None or content.get("kind") != "person" or content.get("format") != FORMAT_VERSION:
        raise BundleError(f"{path / MANIFEST} is not what was written: ask for a new bundle")
    return content


def verify(path: Path) -> Bundle:
    """Check every byte of a bundle against its manifest.

    Raises:
        BundleError: a file is missing, changed or none of the bundle's.
    """
    content = read(path)
    files = tuple(
        BundledFile(**{**each, "columns": tuple(Column(**column) for column in each["columns"])})
        for each in content["files"]
    )
    sums = {each.json: each.json_sha256 for each in files} | {each.csv: each.csv_sha256 for each in files}
    here = {each.name for each in path.iterdir()} - {MANIFEST}
    if here != set(sums):
        raise BundleError(f"{path} is damaged: {len(here ^ set(sums))} files are missing or foreign")
    for name, expected in sums.items():
        if hashlib.sha256((path / name).read_bytes()).hexdigest() != expected:
            raise BundleError(f"{path / name} is not what was written: ask for a new bundle")
    return Bundle(path, sum(each.rows for each in files), files, content["expires_at"])


def remove_expired(cell: Cell, settings: Settings, *, now: datetime | None = None) -> int:
    """Remove the bundles of a cell whose time is over, and return how many; unreadable ones stay."""
    expired = []
    for path in archive.bundles(cell, settings):
        try:
            content = read(path)
        except BundleError:
            continue
        if datetime.fromisoformat(content["expires_at"]) <= (now or datetime.now(UTC)):
            expired.append(path)
    return archive.remove(expired)
