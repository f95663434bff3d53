"""What dbt compiles the project to in a cell: each model in each way in which a run can build it.

A model is compiled to other SQL when it is built whole, when it is added to, and when a run is of certain days only;
its table may hold rows of all three. Compiling needs the cell's server, for whether a table is there decides between
them, but no gate. It takes dbt three starts (15 s); the outcome is kept beside the cell's other files of dbt, and is
good until a file of the project, a version of dbt, or the set of tables changes. Until then it is as good for another
cell with the same tables, under the same names: one cell compiles, the others wait for it and read.
"""

import fcntl
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestration.cells import routing
from orchestration.cells.regions import CELLS, Cell
from orchestration.cells.relations import DBT_SCHEMAS
from orchestration.cells.shell_environment import DBT_PROJECT_DIR, dbt_environment
from orchestration.dbt.command import dbt_executable, inherited_environment
from orchestration.dbt.manifest import fingerprint
from orchestration.lineage.project import read_manifest_file
from orchestration.settings import Settings, get_settings

# Any day: the text differs by the date only.
_A_DAY = "2026-01-01"
WAYS: Mapping[str, tuple[str, ...]] = {
    "whole": ("--full-refresh",),
    "increment": (),
    "days": ("--vars", json.dumps({"start_day": _A_DAY, "end_day": _A_DAY})),
}
_COMPILE_SECONDS = 300

# Holds what a compilation was made of.
RECORD = "fingerprint"
# Of all cells: who waits finds it done.
LOCK = "lineage.lock"


class CompileError(RuntimeError):
    """dbt cannot compile the project; the message is dbt's own."""


def folder(cell: Cell, settings: Settings) -> Path:
    """Return where a cell's compilations are, one folder for each way."""
    return settings.home / "dbt" / cell / "lineage"


def compiled(cell: Cell, settings: Settings | None = None) -> list[Mapping[str, Any]]:
    """Return the manifests of the project as it is now, compiled in ``cell`` or one just like it; compile if need be.

    Raises:
        CompileError: dbt cannot.
        ManifestError: what dbt wrote cannot be read.
        CellUnavailableError, EndpointError: the cell does not answer or is not known.
    """
    settings = settings or get_settings()
    with _one_at_a_time(settings.home / "run"):
        made_of = _made_of(cell, settings)
        kept = [folder(each, settings) for each in (cell, *CELLS)]
        place = next((each for each in kept if _record(each) == made_of), None)
        if place is None:
            place = folder(cell, settings)
            place.mkdir(parents=True, exist_ok=True)
            # The record goes first and comes last: killed in between, the next process compiles again.
            (place / RECORD).unlink(missing_ok=True)
            for way, arguments in WAYS.items():
                _compile(cell, place / way, arguments, settings)
            (place / RECORD).write_text(made_of)
        return [read_manifest_file(place / way / "manifest.json") for way in WAYS]


def _record(place: Path) -> str | None:
    """Return what the compilation in ``place`` was made of; None where there is none."""
    try:
        return (place / RECORD).read_text()
    except FileNotFoundError:
        return None


@contextmanager
def _one_at_a_time(place: Path) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    with (place / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _made_of(cell: Cell, settings: Settings) -> str:
    """Return a digest of all that the compilation depends on: the project, dbt, and which tables there are where."""
    with routing.connect(cell, "auditor", application_name="capstone lineage", settings=settings) as connection:
        tables = connection.execute(
            "select current_database() || '.' || c.oid::regclass::text from pg_catalog.pg_class as c"
            " inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid"
            " where n.nspname = any(%s) and c.relkind in ('r', 'v') and c.relname !~ '__dbt_' order by 1",
            (list(DBT_SCHEMAS),),
        ).fetchall()
    return hashlib.sha256(f"{fingerprint()} {tables} {sorted(WAYS.items())}".encode()).hexdigest()


def _compile(cell: Cell, target: Path, arguments: tuple[str, ...], settings: Settings) -> None:
    # What dbt has parsed stays, and saves it from parsing what has not changed.
    target.mkdir(exist_ok=True)
    (target / "manifest.json").unlink(missing_ok=True)
    environment = inherited_environment() | dbt_environment(cell, settings)
    environment |= {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target)}
    try:
        done = subprocess.run(
            [dbt_executable(), "--no-use-colors", "compile", "--quiet", "--target", cell, *arguments],
            env=environment,
            cwd=DBT_PROJECT_DIR,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMPILE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise CompileError(f"dbt has been compiling for cell {cell!r} for {_COMPILE_SECONDS} s: try again") from None
    if done.returncode:
        raise CompileError(f"the dbt project cannot be compiled in cell {cell!r}:\n{done.stdout}{done.stderr}")
