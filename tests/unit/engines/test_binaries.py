"""Which server programs are chosen."""

from pathlib import Path

import pytest

from orchestration.engines.binaries import find_postgres, find_redis
from orchestration.engines.errors import EngineError, MissingEngineError


def install(root: Path, major: int, *, timescaledb: bool) -> None:
    directory = root / str(major)
    (directory / "bin").mkdir(parents=True)
    (directory / "bin" / "postgres").touch()
    (directory / "lib").mkdir()
    if timescaledb:
        (directory / "lib" / "timescaledb.so").touch()
        (directory / "lib" / "timescaledb-2.19.3.so").touch()


def test_a_new_home_uses_the_newest_postgresql_that_has_timescaledb(tmp_path: Path) -> None:
    install(tmp_path, 9, timescaledb=True)
    install(tmp_path, 15, timescaledb=True)
    install(tmp_path, 17, timescaledb=False)

    assert find_postgres(root=tmp_path).major == 15


def test_existing_data_keep_their_postgresql_when_a_newer_one_is_installed(tmp_path: Path) -> None:
    install(tmp_path, 15, timescaledb=True)
    install(tmp_path, 17, timescaledb=True)

    assert find_postgres([15, 15], root=tmp_path).major == 15


def test_data_of_a_version_that_is_not_installed_are_an_error_that_names_both(tmp_path: Path) -> None:
    install(tmp_path, 17, timescaledb=True)

    with pytest.raises(MissingEngineError, match=r"made by PostgreSQL 15, but installed is 17: install postgresql-15"):
        find_postgres([15], root=tmp_path)


def test_data_of_two_versions_are_an_error(tmp_path: Path) -> None:
    install(tmp_path, 15, timescaledb=True)

    with pytest.raises(EngineError, match="PostgreSQL 14 and 15"):
        find_postgres([15, 14], root=tmp_path)


@pytest.mark.parametrize("majors", [[], [15]])
def test_a_missing_extension_names_the_mend(tmp_path: Path, majors: list[int]) -> None:
    install(tmp_path, 15, timescaledb=False)

    with pytest.raises(MissingEngineError, match=r"TimescaleDB is not installed for PostgreSQL 15.*make up.*doctor"):
        find_postgres(majors, root=tmp_path)


def test_a_loader_without_the_extension_itself_does_not_count(tmp_path: Path) -> None:
    install(tmp_path, 15, timescaledb=True)
    (tmp_path / "15" / "lib" / "timescaledb-2.19.3.so").unlink()

    with pytest.raises(MissingEngineError, match="TimescaleDB"):
        find_postgres(root=tmp_path)


def test_no_postgresql_at_all_names_the_mend(tmp_path: Path) -> None:
    with pytest.raises(MissingEngineError, match=r"PostgreSQL is not installed.*make up"):
        find_postgres(root=tmp_path)


def test_no_redis_names_the_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(MissingEngineError, match=r"redis-server is not installed.*make up"):
        find_redis()
