"""What one cell holds of each category of data, counted at its proof and kept beside the data docs' own records.

Counts only: of a person, a file or a key nothing is kept but that there is one.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import Cell
from orchestration.cells.stores import Store, stores
from orchestration.engines.atomic_file import write_atomically
from orchestration.proofs.inventory import inventory
from orchestration.settings import Settings

_HERE = Path(__file__).parent
FACTS_FILE = "residency_map.json"

_SCANNED_AT_ONCE = 1000
_REDIS_SECONDS = 10.0


@dataclass(frozen=True)
class Found:
    """How much of a store there is.

    Attributes:
        count: how many.
        unit: of what.
        estimated: whether the server's statistics were asked instead of the rows.
    """

    count: int
    unit: str
    estimated: bool = False


@dataclass(frozen=True)
class CellFacts:
    """One cell at one moment.

    Attributes:
        cell: which.
        counted_at: when, UTC, ISO 8601.
        verdict: of its newest proof of residency: green, red or error; None when it was never proven.
        proven_at: when that was given, UTC.
        offenders: what that proof named, as a number.
        people: category -> region of record -> rows, exact.
        stores: store -> what there is of it; one that could not be looked at is missing, with a reason in ``unseen``.
        unseen: store -> why it could not be looked at.
    """

    cell: Cell
    counted_at: str
    verdict: str | None
    proven_at: str | None
    offenders: int
    people: Mapping[str, Mapping[str, int]]
    stores: Mapping[str, Found]
    unseen: Mapping[str, str]


def facts_file(cell: Cell, settings: Settings) -> Path:
    """Return where the facts of ``cell`` are kept."""
    return settings.home / "data_docs" / cell / FACTS_FILE


def gather(cell: Cell, settings: Settings) -> CellFacts:
    """Count what ``cell`` holds now.

    Raises:
        CellUnavailableError: its database does not answer.
        psycopg.Error: its schemas are not there.
    """
    found: dict[str, Found] = {}
    unseen: dict[str, str] = {}
    people: dict[str, dict[str, int]] = {}
    with routing.connect(
        cell, "auditor", autocommit=True, application_name="capstone residency map", settings=settings
    ) as connection:
        for category, region, rows in connection.execute((_HERE / "people.sql").read_bytes()):
            people.setdefault(category, {})[region] = rows
        for store, unit, count in connection.execute((_HERE / "places.sql").read_bytes()):
            found[store] = Found(count, unit)
        proof = connection.execute((_HERE / "newest_proof.sql").read_bytes()).fetchone()
    found |= _of_tables(cell, settings)
    for store in _of_medium("redis"):
        try:
            found[store.name] = _of_redis(store, cell, settings)
        except (redis.RedisError, OSError) as error:
            unseen[store.name] = f"Redis does not answer ({type(error).__name__})"
    for store in _of_medium("files"):
        try:
            found[store.name] = of_files(store.paths(cell, settings))
        except OSError as error:
            unseen[store.name] = f"cannot be read ({type(error).__name__})"
    verdict, proven_at, offenders = proof or (None, None, 0)
    return CellFacts(cell, _now(), verdict, proven_at, offenders, people, found, unseen)


def keep(facts: CellFacts, settings: Settings) -> None:
    """Keep the facts for the page, which is made from those of all cells."""
    path = facts_file(facts.cell, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(facts), indent=1) + "\n", mode=0o644)


def read(cell: Cell, settings: Settings) -> CellFacts | None:
    """Return the facts that were kept of ``cell`` last; None when there are none, or they are of another version."""
    try:
        content = json.loads(facts_file(cell, settings).read_text())
        stores_of = {name: Found(**each) for name, each in content.pop("stores").items()}
        return CellFacts(**content, stores=stores_of)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def of_files(paths: tuple[Path, ...]) -> Found:
    """Count the files at and below ``paths``; what is not there has none."""
    return Found(sum(_files_below(path) for path in paths), "files")


def _files_below(path: Path) -> int:
    if path.is_file():
        return 1
    # os.walk passes over what a server removes while it is counted.
    return sum(len(names) for _, _, names in os.walk(path))


def _of_medium(medium: str) -> list[Store]:
    return [each for each in stores() if each.medium == medium and each.scope == "cell"]


def _of_tables(cell: Cell, settings: Settings) -> dict[str, Found]:
    rows = {each.name: each.rows or 0 for each in inventory(cell, settings=settings) if each.relkind != "view"}
    return {
        store.name: Found(
            sum(n for name, n in rows.items() if name in store.where or name.split(".")[0] in store.where),
            "rows",
            estimated=True,
        )
        for store in _of_medium("tables")
    }


def _of_redis(store: Store, cell: Cell, settings: Settings) -> Found:
    client: Any = redis.Redis.from_url(
        endpoints.redis_url(cell, settings),
        socket_timeout=_REDIS_SECONDS,
        socket_connect_timeout=settings.connect_timeout_seconds,
    )
    try:
        keys = entries = 0
        for pattern in store.where:
            for key in client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE):
                keys += 1
                entries += int(client.xlen(key)) if client.type(key) == b"stream" else 0
    finally:
        client.close()
    return Found(entries, "entries") if store.holds == "rows" else Found(keys, "keys")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
