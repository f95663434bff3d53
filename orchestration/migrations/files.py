"""Which migrations there are: the files of ``sql/<domain>/``, checked before anything is applied.

A cell has the domains of ``DOMAINS``, the control cluster's database ``global`` that of ``CONTROL_DOMAINS``.

``NNN_what.sql`` numbers from 001 without a gap. ``NNN_what.apache.sql`` and ``NNN_what.community.sql`` are two variants
of one number, of which a server gets the one of its TimescaleDB edition.
"""

import hashlib
import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal, cast, get_args

from orchestration.settings import PROJECT_ROOT

Domain = Literal["platform", "geo", "saas", "ecommerce", "analytics", "global"]
# Of a cell, in the order in which one rests on another.
DOMAINS: tuple[Domain, ...] = ("platform", "geo", "saas", "ecommerce", "analytics")
# Of the database ``global`` on the control cluster, which has no TimescaleDB and so no variants.
CONTROL_DOMAINS: tuple[Domain, ...] = ("global",)

Edition = Literal["apache", "community"]
EDITIONS: tuple[Edition, ...] = get_args(Edition)

SQL_ROOT = PROJECT_ROOT / "sql"

_NAME = re.compile(r"(?P<version>[0-9]{3})_(?P<what>[a-z0-9_]+)(?:\.(?P<edition>[a-z]+))?\.sql")
_NO_TRANSACTION = "-- no-transaction"


class MigrationFileError(ValueError):
    """The files of a domain cannot be applied as they are; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Migration:
    """One migration file.

    Attributes:
        domain: the directory, which is also the schema.
        version: its number, from 1.
        name: the file's name.
        path: the file.
        text: its content.
        checksum: SHA-256 of the content, hexadecimal.
        edition: the only TimescaleDB edition it is for, or None for both.
        transactional: False when its first line is ``-- no-transaction``; it must then be idempotent.
    """

    domain: Domain
    version: int
    name: str
    path: Path
    text: str
    checksum: str
    edition: Edition | None
    transactional: bool

    def __str__(self) -> str:
        return f"{self.domain}/{self.name}"


def parse_domain(name: str) -> Domain:
    """Return ``name`` as a domain.

    Raises:
        MigrationFileError: it is none.
    """
    known = (*DOMAINS, *CONTROL_DOMAINS)
    if name not in known:
        raise MigrationFileError(f"unknown domain {name!r}: one of {', '.join(known)} is needed")
    return cast(Domain, name)


def read_migration(domain: Domain, path: Path) -> Migration:
    """Read one file.

    Raises:
        MigrationFileError: its name is not of the form, or it is empty or not UTF-8.
    """
    match = _NAME.fullmatch(path.name)
    if match is None or (match["edition"] is not None and match["edition"] not in EDITIONS):
        raise MigrationFileError(
            f"{path}: not a migration's name; NNN_what.sql, NNN_what.apache.sql or NNN_what.community.sql is needed"
        )
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MigrationFileError(f"{path}: not UTF-8 (byte {error.start})") from None
    if not text.strip():
        raise MigrationFileError(f"{path}: empty")
    return Migration(
        domain=domain,
        version=int(match["version"]),
        name=path.name,
        path=path,
        text=text,
        checksum=hashlib.sha256(content).hexdigest(),
        edition=cast(Edition | None, match["edition"]),
        transactional=text.splitlines()[0].strip() != _NO_TRANSACTION,
    )


def _check_numbers(domain: Domain, migrations: list[Migration]) -> None:
    expected = 1
    for version, group in groupby(migrations, key=lambda migration: migration.version):
        variants = list(group)
        if version != expected:
            raise MigrationFileError(f"{domain}: number {expected:03} is missing before {variants[0].name}")
        names = " and ".join(variant.name for variant in variants)
        editions = [variant.edition for variant in variants]
        if len(variants) > 1 and (None in editions or len(set(editions)) < len(editions)):
            raise MigrationFileError(f"{domain}: number {version:03} is used twice, by {names}")
        if None not in editions and len({variant.name.split(".")[0] for variant in variants}) > 1:
            raise MigrationFileError(f"{domain}: {names} are variants of one number and must have the same name")
        if domain in CONTROL_DOMAINS and None not in editions:
            raise MigrationFileError(f"{domain}: {names} is for one edition, but the control cluster has none")
        if domain == "platform" and None not in editions:
            raise MigrationFileError(
                f"{domain}: {names} is for one edition, but the platform's files are what installs TimescaleDB"
            )
        if None not in editions and set(editions) != set(EDITIONS):
            other = next(edition for edition in EDITIONS if edition not in editions)
            raise MigrationFileError(f"{domain}: {names} has no variant for the {other} edition")
        expected += 1


def plan(domain: str, edition: Edition | None = None, *, root: Path = SQL_ROOT) -> list[Migration]:
    """Return the migrations of ``domain`` in order; with ``edition`` only those that such a server gets.

    Raises:
        MigrationFileError: unknown domain, no directory, a bad file name, a gap or a duplicate number.
    """
    checked = parse_domain(domain)
    directory = root / checked
    if not directory.is_dir():
        raise MigrationFileError(f"{directory} does not exist: the migrations of domain {domain!r} are missing")
    # Every file counts, so that one with a mistyped ending is not passed over in silence.
    paths = sorted(path for path in directory.iterdir() if path.is_file() and not path.name.startswith("."))
    migrations = sorted(
        (read_migration(checked, path) for path in paths),
        key=lambda migration: (migration.version, migration.name),
    )
    if not migrations:
        raise MigrationFileError(f"{directory} holds no migration")
    _check_numbers(checked, migrations)
    if edition is None:
        return migrations
    return [migration for migration in migrations if migration.edition in (None, edition)]
