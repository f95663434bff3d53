"""The servers' own files searched for other cells' canaries: what was deleted and is not overwritten yet.

No query reads it, so it is no part of a verdict: a verdict that stayed red until a file of the log is used again would
keep a cell closed for days after the copy itself is gone. It is reported, with what ends it, for whoever has found and
deleted a copy and has to know when it is gone for good.
"""

import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestration.cells import routing
from orchestration.cells.regions import Cell
from orchestration.cells.stores import stores
from orchestration.proofs.residency.canaries import known_canaries
from orchestration.proofs.residency.file_search import search_files
from orchestration.proofs.residency.stores_survey import SERVER_FILES
from orchestration.settings import Settings

# Part of a path -> what is there, and what ends it; the first that applies.
_KINDS = (
    ("/pg_wal/", "write-ahead log", "a checkpoint, and as much being written: a file is overwritten when used again"),
    ("/pg_stat", "statistics of the server", "the next restart or collection"),
    ("/pgsql_tmp", "temporary files", "the end of the query that made them, or a restart"),
    ("/base/", "rows that were deleted", "vacuum full of the relation, or its removal and a checkpoint"),
    ("/global/", "rows of the server's catalogs", "vacuum full of the catalog"),
    ("redis/", "Redis' append-only file", "BGREWRITEAOF"),
)


@dataclass(frozen=True)
class DeadBytes:
    """What was found of another cell's canaries in one kind of file.

    Attributes:
        cell: in whose files; None of the control cluster's.
        whose: the canaries' cell.
        what: kind of file, and how many.
        until: what ends it; a problem, where files could not be searched.
    """

    cell: Cell | None
    whose: str
    what: str
    files: int
    until: str


def dead_bytes(cells: Iterable[Cell], settings: Settings) -> list[DeadBytes]:
    """Search the files of the servers of ``cells`` and of the control cluster.

    Bounded memory; reads every byte: minutes for a large cell.

    Raises:
        CellUnavailableError: a cell does not answer, so its canaries are not known.
    """
    chosen = list(cells)
    found: list[DeadBytes] = []
    for cell in chosen:
        roots = [
            path
            for store in stores()
            if store.name in SERVER_FILES and store.scope == "cell"
            for path in store.paths(cell, settings)
        ]
        found += _of(cell, cell, roots, settings)
    control = [path for store in stores() if store.name == "control files" for path in store.paths("na", settings)]
    if chosen:
        found += _of(None, chosen[0], control, settings)
    return found


def _of(where: Cell | None, cell: Cell, roots: list[Path], settings: Settings) -> list[DeadBytes]:
    with routing.connect(
        cell, "auditor", autocommit=True, application_name="capstone proof", settings=settings
    ) as auditor:
        canaries = known_canaries(cell, secrets.token_hex(16), auditor, settings)
    if canaries.silent:
        raise routing.CellUnavailableError(
            f"cell {canaries.silent[0]!r} does not answer, so its canaries are not known: start it with `capstone up`"
        )
    counted: Counter[tuple[str, str, str]] = Counter()
    # The control cluster's files hold nobody; a cell's own hold its own people.
    foreign = canaries.others if where is not None else canaries.others | dict.fromkeys(canaries.own, cell)
    for each in search_files(settings.home, roots, canaries.salt, with_addresses=False):
        if each.problem is not None and each.problem != "is a link":
            counted["nobody that is known", "files that could not be read", each.problem] += 1
        for owner in {foreign[found] for found in each.digests if found in foreign}:
            what, until = next(
                ((what, until) for part, what, until in _KINDS if part in f"/{each.path}" or part in each.path),
                ("another file of the server", "its removal"),
            )
            counted[f"cell {owner}", what, until] += 1
    return [DeadBytes(where, whose, what, files, until) for (whose, what, until), files in sorted(counted.items())]


def describe(each: DeadBytes) -> str:
    """Return one line for people."""
    where = f"cell {each.cell}" if each.cell else "the control cluster"
    return f"{where}: {each.what}, {each.files} files, with canaries of {each.whose}; ends by: {each.until}"
