"""What a server's log is read as."""

from pathlib import Path

import pytest

from orchestration.engines.errors import DiskFullError, EngineError, MissingEngineError, PortTakenError
from orchestration.engines.server_log import LogMark, explain


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ('PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device', DiskFullError, "free some"),
        ('LOG:  could not bind IPv4 address "127.0.0.1": Address already in use', PortTakenError, "port is taken"),
        ('FATAL:  could not access file "timescaledb": No such file', MissingEngineError, "make up"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", EngineError, "memory"),
        ("FATAL:  data directory has invalid permissions", EngineError, "invalid permissions"),
    ],
)
def test_a_failure_is_named_with_its_way_out(tmp_path: Path, line: str, kind: type[EngineError], message: str) -> None:
    error = explain("PostgreSQL of eu", ["LOG:  starting", line, "LOG:  database system is shut down"], tmp_path)

    assert type(error) is kind
    assert str(error).startswith("PostgreSQL of eu did not start")
    assert message in str(error)


def test_a_silent_failure_still_says_where_to_look(tmp_path: Path) -> None:
    assert str(tmp_path) in str(explain("Redis of na", [], tmp_path))


def test_what_was_logged_before_the_start_is_not_its_failure(tmp_path: Path) -> None:
    log = tmp_path / "postgresql-Mon.log"
    log.write_text("PANIC:  of yesterday\n")
    mark = LogMark.now(tmp_path)
    with log.open("a") as file:
        file.write("FATAL:  of today\n")
    (tmp_path / "startup.log").write_text("LOG:  starting\n")

    assert mark.new_lines() == ["FATAL:  of today", "LOG:  starting"]
