"""Which installed server programs are used. Installing them is another matter: `make up`, `capstone doctor`."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.errors import EngineError, MissingEngineError

# Where Debian's packages put each major version of PostgreSQL.
POSTGRES_ROOT = Path("/usr/lib/postgresql")

MEND = "run `make up`, or see `capstone doctor`"


@dataclass(frozen=True)
class PostgresBinaries:
    """One installed major version of PostgreSQL.

    Attributes:
        major: 15, 16, …
        directory: holds bin/ and lib/.
    """

    major: int
    directory: Path

    @property
    def initdb(self) -> Path:
        return self.directory / "bin" / "initdb"

    @property
    def pg_ctl(self) -> Path:
        return self.directory / "bin" / "pg_ctl"

    @property
    def has_timescaledb(self) -> bool:
        """Tell whether the loader and at least one version of the extension itself are installed."""
        library = self.directory / "lib"
        return (library / "timescaledb.so").is_file() and any(library.glob("timescaledb-[0-9]*.so"))


def installed_postgres(root: Path = POSTGRES_ROOT) -> dict[int, PostgresBinaries]:
    """Return the installed PostgreSQL servers by major version."""
    return {
        int(directory.name): PostgresBinaries(int(directory.name), directory)
        for directory in root.glob("*")
        if directory.name.isdecimal() and (directory / "bin" / "postgres").is_file()
    }


def find_postgres(majors_of_data: Iterable[int] = (), root: Path = POSTGRES_ROOT) -> PostgresBinaries:
    """Return the server to use: the one that made the data, or else the newest that has TimescaleDB.

    Args:
        majors_of_data: the versions that made the data directories of this home; empty for a new home.
        root: directory with one subdirectory per major version.

    Raises:
        MissingEngineError: PostgreSQL, the version of the data, or TimescaleDB for it is not installed.
        EngineError: the data directories are of several versions.
    """
    installed = installed_postgres(root)
    if not installed:
        raise MissingEngineError(f"PostgreSQL is not installed ({root} holds no server): {MEND}")
    majors = sorted(set(majors_of_data))
    if len(majors) > 1:
        raise EngineError(
            f"the data directories were made by PostgreSQL {' and '.join(map(str, majors))}: upgrade the older ones "
            "with pg_upgrade, or `capstone down --destroy` and begin anew"
        )
    if majors and majors[0] not in installed:
        there = ", ".join(str(major) for major in sorted(installed))
        raise MissingEngineError(
            f"the data were made by PostgreSQL {majors[0]}, but installed is {there}: install postgresql-{majors[0]}, "
            "upgrade the data with pg_upgrade, or `capstone down --destroy` and begin anew"
        )
    if majors and not installed[majors[0]].has_timescaledb:
        raise MissingEngineError(
            f"TimescaleDB is not installed for PostgreSQL {majors[0]}, which the data need: {MEND}"
        )
    usable = [binaries for binaries in installed.values() if binaries.has_timescaledb]
    if not usable:
        there = ", ".join(str(major) for major in sorted(installed))
        raise MissingEngineError(f"TimescaleDB is not installed for PostgreSQL {there}: {MEND}")
    return installed[majors[0]] if majors else max(usable, key=lambda binaries: binaries.major)


def find_redis() -> Path:
    """Return the redis-server program.

    Raises:
        MissingEngineError: it is not installed.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise MissingEngineError(f"redis-server is not installed: {MEND}")
    return Path(found)
