"""Live attacks of role ``app`` on the server itself, and on the order in which rows are looked at.

The list is ``server_attacks.yml``; what is refused there by a missing privilege is what a tenant's request would do for
all tenants at once.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import psycopg
import yaml
from psycopg import sql
from psycopg.rows import TupleRow

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.relations import Relation
from orchestration.proofs.attacks import Attack, Attempt, try_all
from orchestration.settings import Settings

_LIST = Path(__file__).with_name("server_attacks.yml")
_NEWEST_CHUNK = Path(__file__).with_name("chunk_number.sql")


def attack_server(cell: Cell, relations: Sequence[Relation], settings: Settings) -> list[Attack]:
    """Try the list, and in every readable relation whether a caller's expression is asked about others' rows.

    Raises:
        psycopg.Error, CellUnavailableError: the attacks could not be carried out, so nothing is proven.
    """
    with routing.connect(cell, "auditor", application_name="capstone proof", settings=settings) as auditor:
        row = auditor.execute(_NEWEST_CHUNK.read_text()).fetchone()
        readable = [name for name in _readable(relations) if _exists(auditor, name)]
    chunk = int(row[0]) if row else 0
    shared = [relation.name for relation in relations if relation.kind == "global"]
    attempts = [*_listed(chunk, shared), *_early_looks(readable)]
    with routing.connect(cell, "app", application_name="capstone attack", settings=settings) as app:
        return try_all(app, attempts)


@lru_cache(maxsize=1)
def _entries() -> dict[str, dict[str, object]]:
    entries = yaml.safe_load(_LIST.read_text())
    if not isinstance(entries, dict) or not entries:
        raise RuntimeError(f"{_LIST} lists no attack")
    return entries


def _listed(chunk: int, shared: Sequence[str]) -> Iterator[Attempt]:
    for name, entry in _entries().items():
        statement = str(entry["statement"]).replace("{chunk}", f"{chunk}::oid::regclass")
        statement = statement.replace("'{global}'", f"'{{{','.join(shared)}}}'")
        yield Attempt(
            name, str(entry["object"]), sql.SQL(_literal(statement)), by_rows=bool(entry.get("by_rows", False))
        )


def _literal(statement: str) -> str:
    """Return ``statement`` such that braces in it are no placeholders."""
    return statement.replace("{", "{{").replace("}", "}}")


def _early_looks(names: Sequence[str]) -> Iterator[Attempt]:
    """In the name of a tenant that does not exist, fail on the first row that is looked at: none may be."""
    statement = sql.SQL("select from {} as x where 1 / length(left(x::text, 0)) = 1")
    for name in names:
        yield Attempt(
            "be asked about others' rows", name, statement.format(sql.Identifier(*name.split("."))), str(uuid4())
        )


def _readable(relations: Sequence[Relation]) -> Iterator[str]:
    for relation in relations:
        if relation.kind == "tenant" and "select" in relation.app:
            yield relation.name


def _exists(auditor: psycopg.Connection[TupleRow], name: str) -> bool:
    row = auditor.execute("select to_regclass(%s) is not null", (name,)).fetchone()
    return bool(row and row[0])
