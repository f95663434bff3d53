"""Every registered store looked at for a cell: what its rules cannot see, as findings that they read.

By medium: relations and catalogs of the cell's database and of its tenants' databases are searched for people row by
row, Redis key by key, the control cluster's databases as the cell's, files byte by byte. The servers' own files are not
part of a verdict: what was deleted stays in them until vacuum and the recycling of the log, which
:mod:`orchestration.proofs.residency.dead_bytes` reports.

It fails closed. A store that nothing here knows how to survey is a finding; so is one that could not be surveyed, and
one that could only in part.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import psycopg
import redis

from orchestration.cells import endpoints, routing
from orchestration.cells.endpoints import CONTROL_DATABASES
from orchestration.cells.regions import CELLS, CLUSTERS, REGIONS, Cell, Cluster
from orchestration.cells.stores import Store, stores
from orchestration.proofs.residency import file_search, marks
from orchestration.proofs.residency.canaries import KnownCanaries, ensure_canaries, known_canaries
from orchestration.proofs.residency.live_search import Found, search_database
from orchestration.proofs.residency.people import MOST_COMPARED, PeopleElsewhere, people_elsewhere
from orchestration.proofs.residency.redis_search import search_redis
from orchestration.settings import Settings

Connection = psycopg.Connection[Any]

# surveyed: it was looked at; copy: a canary is there; stray: something is there that belongs to no store; elsewhere: a
# person of another cell; misfiled: an archive of another cell; undeclared: a connection nobody declared; unsure: what
# is there may be a canary of a cell that does not answer; unsurveyed: it could not be looked at.
State = Literal["surveyed", "copy", "stray", "elsewhere", "misfiled", "undeclared", "unsure", "unsurveyed"]

# Where a cell's own canaries belong.
HOMES = frozenset({"geo.users", "geo.canaries", "geo.eu_user_data"})

# Files that servers write: what they hold is surveyed through the server.
SERVER_FILES = frozenset({"redis files", "database files", "control files"})

# Of medium "database": surveyed with the relations of the cell's database, by rules that ask its catalog and the facts
# of its server, by the databases of tenants, and by the control cluster's.
IN_THE_DATABASE = frozenset({"chunks", "tenant schemas", "write-ahead log and dead rows"})
BY_SERVER_FACTS = frozenset({"replication"})
TENANT_DATABASES = "tenant databases"
# Of no store: what anybody made on the servers beside the platform's own.
OTHER_DATABASES = "other databases"
OF_THE_CONTROL_CLUSTER = {"run records": CONTROL_DATABASES[0], "global aggregates": CONTROL_DATABASES[1]}

# Standbys and subscribers that may be sent what a cell writes, by application name. There are none yet: whoever sets
# one up names it here, after making sure of where it is.
DECLARED_STANDBYS: frozenset[str] = frozenset()

_SQL = Path(__file__).parent / "sql"
_DATABASES = Path(__file__).parents[1] / "tenant_databases.sql"


@dataclass(frozen=True)
class Finding:
    """What was found of a store: names of objects, a count, never anyone's value."""

    store: str
    object: str
    state: State
    offenders: int = 1


@dataclass(frozen=True)
class Survey:
    """Findings about every store of a cell."""

    stores: tuple[Store, ...]
    findings: tuple[Finding, ...]

    def as_settings(self) -> dict[str, str]:
        """Return the settings by which the rules read it."""
        return {
            "proof.stores": json.dumps([{"name": store.name, "medium": store.medium} for store in self.stores]),
            "proof.survey": json.dumps([asdict(each) for each in self.findings]),
        }


@dataclass(frozen=True)
class _Search:
    cell: Cell
    auditor: Connection
    canaries: KnownCanaries
    people: PeopleElsewhere
    settings: Settings

    @property
    def salt(self) -> str:
        return self.canaries.salt

    def copies(self, store: str, place: str, digests: Iterable[str], *, home: bool = False) -> Iterator[Finding]:
        """Tell what the digests found in a place mean; ``home``: the cell's own canaries belong there."""
        seen = set(digests)
        addressed = Counter(self.people.addresses[each] for each in seen if each in self.people.addresses)
        for cell, number in sorted(addressed.items()):
            yield Finding(store, f"{place} (addresses of people of cell {cell})", "copy", number)
        marked = (each for each in seen if not each.startswith(marks.ADDRESS))
        whose = Counter(owner for each in marked if (owner := self.canaries.whose(each)) is not None)
        for owner, number in sorted(whose.items()):
            if home and owner == "this cell":
                continue
            state: State = "unsure" if owner == "an unknown cell" else "copy"
            yield Finding(store, f"{place} (a canary of {owner})", state, number)

    @property
    def with_addresses(self) -> bool:
        """Whether there are addresses to be looked for."""
        return bool(self.people.addresses)


def survey(cell: Cell, auditor: Connection, settings: Settings) -> Survey:
    """Survey every store for ``cell``.

    Args:
        cell: the cell.
        auditor: open to its database, in autocommit mode.
        settings: where all else is.

    Raises:
        CellUnavailableError, psycopg.Error: the cell's own database cannot be used.
    """
    ensure_canaries(cell, settings)
    salt = secrets.token_hex(16)
    search = _Search(
        cell,
        auditor,
        known_canaries(cell, salt, auditor, settings),
        people_elsewhere(cell, salt, auditor, settings),
        settings,
    )
    registered = stores()
    findings: list[Finding] = []
    for surveyor in (
        _database,
        _tenant_databases,
        _control_databases,
        _other_databases,
        _redis,
        _files,
        _replication,
        _people,
    ):
        findings += surveyor(search, registered)
    return Survey(registered, tuple(findings))


def _guarded(names: Collection[str], look: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what ``look`` finds; where it fails, that the stores of those names were not surveyed."""
    if not names:
        raise ValueError("what fails to be looked at needs a name, or nobody learns of it")
    try:
        found = look()
    except (
        psycopg.Error,
        redis.RedisError,
        routing.CellUnavailableError,
        endpoints.EndpointError,
        OSError,
    ) as error:
        return [Finding(name, f"{name} ({type(error).__name__})", "unsurveyed") for name in names]
    return [*found, *(Finding(name, name, "surveyed") for name in names)]


def _database(search: _Search, registered: tuple[Store, ...]) -> list[Finding]:
    names = [store.name for store in registered if store.medium == "tables"]
    names += [store.name for store in registered if store.name in IN_THE_DATABASE]

    def look() -> list[Finding]:
        with _entered(search, search.cell) as connection:
            return list(
                _of_relations(
                    search, "relations", search_database(connection, search.salt, with_addresses=search.with_addresses)
                )
            )

    return _guarded(names, look)


def _of_relations(search: _Search, store: str, places: Iterable[Found], prefix: str = "") -> Iterator[Finding]:
    for each in places:
        if each.problem is not None:
            yield Finding(store, f"{prefix}{each.place} ({each.problem})", "unsurveyed")
        yield from search.copies(store, f"{prefix}{each.place}", each.digests, home=not prefix and each.place in HOMES)


def _tenant_databases(search: _Search, _: tuple[Store, ...]) -> list[Finding]:
    def look() -> list[Finding]:
        found: list[Finding] = []
        for (name,) in search.auditor.execute(_DATABASES.read_bytes()).fetchall():
            with _entered(search, search.cell, name) as connection:
                places = search_database(connection, search.salt, with_addresses=search.with_addresses)
            found += _of_relations(search, TENANT_DATABASES, places, f"{name}: ")
        return found

    return _guarded([TENANT_DATABASES], look)


def _control_databases(search: _Search, registered: tuple[Store, ...]) -> list[Finding]:
    found: list[Finding] = []
    for store in registered:
        database = OF_THE_CONTROL_CLUSTER.get(store.name)
        if database is not None:
            found += _guarded([store.name], partial(_control, search, store.name, database))
    return found


def _control(search: _Search, store: str, database: str) -> list[Finding]:
    with _entered(search, "control", database) as connection:
        places = search_database(connection, search.salt, with_addresses=search.with_addresses, timescale=False)
    return list(_of_relations(search, store, places, f"{database}: "))


def _other_databases(search: _Search, _: tuple[Store, ...]) -> list[Finding]:
    """Survey the databases of the cell's server, and of the control cluster's, that are nobody's place for anything."""
    found: list[Finding] = []
    servers: tuple[Cluster, ...] = (search.cell, "control")
    for server in servers:
        found += _guarded([OTHER_DATABASES], partial(_others_of, search, server))
    return found


def _others_of(search: _Search, server: Cluster) -> list[Finding]:
    names = {name for (name,) in search.auditor.execute(_DATABASES.read_bytes())} if server == search.cell else set()
    where = endpoints.postgres(server, search.settings)
    # Cells may share a server that somebody else keeps; each is surveyed in its own proof.
    for other in CLUSTERS:
        with suppress(endpoints.EndpointError):
            there = endpoints.postgres(other, search.settings)
            if (there.host, there.port) == (where.host, where.port):
                names |= set(CONTROL_DATABASES) if other == "control" else {there.database}
    with _entered(search, server) as connection:
        others = connection.execute((_SQL / "other_databases.sql").read_bytes(), {"known": sorted(names)}).fetchall()
    found: list[Finding] = []
    for name, may_be_entered in others:
        label = "*" if marks.digests("", name.encode()) else name
        if not may_be_entered:
            found.append(Finding(OTHER_DATABASES, f"database {label} (nobody may enter it)", "unsurveyed"))
            continue
        try:
            with _entered(search, server, name) as connection:
                has_chunks = connection.execute(
                    "select from pg_catalog.pg_extension where extname = 'timescaledb'"
                ).fetchone()
                places = search_database(
                    connection, search.salt, with_addresses=search.with_addresses, timescale=has_chunks is not None
                )
        except (psycopg.Error, routing.CellUnavailableError) as error:
            with _entered(search, server) as connection:
                gone = connection.execute("select from pg_catalog.pg_database where datname = %s", (name,)).rowcount < 1
            if not gone:
                found.append(Finding(OTHER_DATABASES, f"database {label} ({type(error).__name__})", "unsurveyed"))
            continue
        found += _of_relations(search, OTHER_DATABASES, places, f"database {label}: ")
    return found


def _entered(search: _Search, server: Cluster, database: str | None = None) -> Connection:
    return routing.connect(
        server,
        "superuser",
        database=database,
        autocommit=True,
        application_name="capstone proof",
        settings=search.settings,
    )


def _redis(search: _Search, registered: tuple[Store, ...]) -> list[Finding]:
    names = [store.name for store in registered if store.medium == "redis"]

    def look() -> list[Finding]:
        seen = search_redis(search.cell, registered, search.salt, search.settings, with_addresses=search.with_addresses)
        found = [Finding("redis", f"Redis ({kind})", "stray", count) for kind, count in sorted(seen.stray.items())]
        for store, digests in seen.digests.items():
            found += search.copies(store, f"Redis ({store})", digests)
        return found

    return _guarded(names, look)


def _files(search: _Search, registered: tuple[Store, ...]) -> list[Finding]:
    found: list[Finding] = []
    for store in registered:
        if store.medium != "files":
            continue
        if store.name in SERVER_FILES:
            found.append(Finding(store.name, store.name, "surveyed"))
            continue
        roots = store.paths(search.cell, search.settings)
        found += _guarded([store.name], partial(_held, search, store.name, roots))
        if store.name in ("exports", "backups"):
            found += _guarded([store.name], partial(_misfiled, search, store.name, roots))
    strays = partial(file_search.stray_files, registered, search.settings)
    found += _guarded(["files"], lambda: [Finding("files", each, "stray") for each in strays()])
    return found


def _held(search: _Search, store: str, roots: Iterable[Path]) -> list[Finding]:
    found: list[Finding] = []
    for each in file_search.search_files(
        search.settings.home, roots, search.salt, with_addresses=search.with_addresses
    ):
        if each.problem is not None:
            found.append(Finding(store, f"{each.path} ({each.problem})", "unsurveyed"))
        found += search.copies(store, each.path, each.digests)
    return found


def _misfiled(search: _Search, store: str, roots: Iterable[Path]) -> list[Finding]:
    """Return the archives in a cell's directory that are not that cell's, or do not say whose they are."""
    found: list[Finding] = []
    for root in roots:
        for place in sorted(root.iterdir()) if root.is_dir() else ():
            # One that is being written, or was left by a killed run, has no manifest yet.
            if place.name.startswith("."):
                continue
            if search.cell not in _cells_of(place):
                number = sum(1 for _ in root.iterdir())
                where = f"{root.relative_to(search.settings.home)} (of {number} archives)"
                found.append(Finding(store, where, "misfiled"))
    return found


def _cells_of(archive: Path) -> tuple[str, ...]:
    """Return the cells in which an archive may lie: a tenant's in its own, a person's where its region lets it."""
    with suppress(OSError, ValueError):
        manifest = json.loads((archive / "manifest.json").read_text())
        if isinstance(manifest, dict):
            region = REGIONS.get(manifest.get("region", ""))
            return region.residency if region is not None else (str(manifest.get("cell")),)
    return ()


def _replication(search: _Search, _: tuple[Store, ...]) -> list[Finding]:
    def look() -> list[Finding]:
        cells = set()
        for cell in CELLS:
            with suppress(endpoints.EndpointError):
                where = endpoints.postgres(cell, search.settings)
                cells.add(f"{where.host}:{where.port}")
        with _entered(search, search.cell) as connection:
            facts = connection.execute((_SQL / "server_facts.sql").read_bytes()).fetchall()
        return [
            Finding("replication", f"{fact} {what}", "undeclared")
            for fact, what, name, address in facts
            if (fact == "walsender" and name not in DECLARED_STANDBYS)
            or (fact == "subscription" and address not in cells)
        ]

    return _guarded(BY_SERVER_FACTS, look)


def _people(search: _Search, _: tuple[Store, ...]) -> list[Finding]:
    people = search.people
    return [
        *(
            Finding("persons", f"geo.users (people of cell {home})", "elsewhere", n)
            for home, n in people.also_here.items()
        ),
        *(
            Finding("persons", f"geo.users (more than {MOST_COMPARED} to compare with cell {home})", "unsurveyed")
            for home in people.too_many
        ),
        *(Finding("persons", f"people of cell {home} (could not be read)", "unsurveyed") for home in people.unread),
    ]
