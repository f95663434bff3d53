"""A file of events is imported with every line accounted for, whatever dies and however often it comes."""

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from orchestration import migrations
from orchestration.cells import endpoints, routing
from orchestration.engines.local import LocalEngines
from orchestration.loading import copy_loader
from orchestration.loading.copy_loader import LoadError
from orchestration.loading.event_import import ImportProgress, ImportReport, import_events
from orchestration.loading.event_mapping import PRESETS
from orchestration.loading.import_errors import ImportFileError
from orchestration.loading.plans import load_plans
from orchestration.settings import Settings, get_settings

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
SHOP, OTHER = UUID(int=1), UUID(int=2)
HEADER = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
SESSION = "72d76fde-8bb3-4e00-8c23-a032dfed738c"


@pytest.fixture(scope="module")
def cell(engines: LocalEngines) -> Iterator[Settings]:
    assert engines
    settings, name = get_settings(), sql.Identifier("imports")
    with routing.connect("na", "superuser", autocommit=True, settings=settings) as connection:
        connection.execute(sql.SQL("create database {} template template0").format(name))
    dsn = SecretStr(endpoints.dsn("na", "superuser", database="imports", settings=settings))
    own = settings.model_copy(update={"dsn_na": dsn})
    try:
        migrations.apply_all("na", settings=own)
        with routing.connect("na", "superuser", autocommit=True, settings=own) as connection:
            with connection.transaction():
                load_plans(connection)
            for tenant, subdomain in ((SHOP, "shop"), (OTHER, "other")):
                connection.execute(
                    "insert into saas.tenants (id, name, subdomain) values (%s, %s, %s)", (tenant, subdomain, subdomain)
                )
        yield own
    finally:
        with routing.connect("na", "superuser", autocommit=True, settings=settings) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))


@pytest.fixture
def auditor(cell: Settings) -> Iterator[psycopg.Connection[Any]]:
    with routing.connect("na", "superuser", autocommit=True, settings=cell) as connection:
        connection.execute(
            "truncate analytics.events, analytics.events_history, analytics.event_ids, analytics.imports, "
            "platform.loads cascade"
        )
    with routing.connect("na", "auditor", autocommit=True, settings=cell) as connection:
        yield connection


def counts(auditor: psycopg.Connection[Any]) -> tuple[int, int, int]:
    """Return live events, history and rejects that are stored."""
    tables = ("analytics.events", "analytics.events_history", "platform.load_rejects")
    found = [auditor.execute(f"select count(*) from {table}".encode()).fetchone() for table in tables]
    live, history, rejects = (row[0] for row in found if row is not None)
    return live, history, rejects


def rees46(path: Path, lines: int, *, first: datetime = NOW - timedelta(days=3), bad_every: int = 0) -> Path:
    """Write a file of REES46's format, one event a second; every so many-th line is no event."""
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(1, lines + 1):
            moment = (first + timedelta(seconds=number)).strftime("%Y-%m-%d %H:%M:%S UTC")
            price = "cheap" if bad_every and number % bad_every == 0 else "35.79"
            file.write(f"{moment},view,44600062,2103807459595387724,,shiseido,{price},541312140,{SESSION}\n")
    return path


def run(path: Path, cell: Settings, **options: Any) -> ImportReport:
    return import_events(path, "shop", settings=cell, now=NOW, **options)


def test_every_line_of_a_file_is_loaded_or_rejected_with_its_reason(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    report = run(rees46(tmp_path / "oct.csv", 1000, bad_every=10), cell)
    assert (report.rows_read, report.rows_loaded, report.rows_repeated, report.rows_rejected) == (1000, 900, 0, 100)
    assert report.lines == report.rows_read + 1
    assert report.rejected_by_reason == (("price is not a number", 100),)
    assert counts(auditor) == (900, 0, 100)
    lines = auditor.execute("select min(line), max(line), count(distinct line) from platform.load_rejects").fetchone()
    assert lines == (11, 1001, 100)
    accounts = auditor.execute("select rows_read, rows_loaded, rows_rejected from platform.loads").fetchone()
    assert accounts == (1000, 900, 100)


def test_alike_lines_are_all_kept_and_a_second_import_changes_nothing(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    path = tmp_path / "alike.csv"
    line = f"2026-11-09 00:00:00 UTC,cart,1,2,,,1.00,3,{SESSION}\n"
    path.write_text(HEADER + line * 5)
    assert run(path, cell).rows_loaded == 5
    packed = tmp_path / "packed.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for again in (path, packed):
        report = run(again, cell)
        assert report.finished_before is not None
        assert report.rows_loaded == 5
    assert counts(auditor) == (5, 0, 0)


def test_events_older_than_a_year_are_history(cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path) -> None:
    path = rees46(tmp_path / "edge.csv", 10, first=NOW - timedelta(days=365, seconds=5))
    report = run(path, cell)
    assert (report.rows_loaded, report.rows_history) == (10, 4)
    assert counts(auditor) == (6, 4, 0)


def test_events_with_an_id_come_once_from_whichever_file(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    sample = (PRESETS / "samples" / "segment.jsonl").read_text()
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text(sample)
    moved = sample.splitlines()[0].replace("10:00:00.120Z", "10:00:00.121Z")
    new = sample.splitlines()[1].replace("0002-0a4c8b1e", "0009-0a4c8b1e")
    second.write_text("\n".join((new, new, moved, sample)))
    assert run(first, cell).rows_loaded == 3
    report = run(second, cell)
    assert (report.rows_read, report.rows_loaded, report.rows_repeated, report.rows_rejected) == (6, 1, 4, 1)
    assert report.rejected_by_reason == (("messageId is the id of another event, at another time", 1),)
    assert counts(auditor) == (4, 0, 1)
    assert import_events(second, "other", settings=cell, now=NOW).rows_loaded == 4


def test_a_dry_run_writes_nothing_and_tells_the_same(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    report = run(rees46(tmp_path / "oct.csv", 100, bad_every=10), cell, dry_run=True)
    assert (report.rows_loaded, report.rows_rejected) == (90, 10)
    assert counts(auditor) == (0, 0, 0)
    assert auditor.execute("select count(*) from analytics.imports").fetchone() == (0,)


def test_a_replacement_takes_back_everything_of_the_earlier_import(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text((PRESETS / "samples" / "segment.jsonl").read_text())
    run(path, cell)
    own = tmp_path / "own.yml"
    own.write_text((PRESETS / "segment.yml").read_text().replace("Product Viewed", "Product Seen"))
    with pytest.raises(LoadError, match="--replace"):
        run(path, cell, mapping=str(own))
    report = run(path, cell, mapping=str(own), replace_earlier=True)
    assert (report.rows_loaded, report.rows_repeated) == (3, 0)
    assert dict(report.event_types)["Product Viewed"] == 1
    assert counts(auditor) == (3, 0, 0)
    assert auditor.execute("select count(*) from analytics.event_ids").fetchone() == (3,)


def test_an_import_that_was_stopped_goes_on_behind_its_last_block(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.loading.event_records.MAX_LINE_BYTES", 500)
    path = rees46(tmp_path / "oct.csv", 500, bad_every=50)

    def stop(state: ImportProgress) -> None:
        if state.stage == "importing" and state.rows_loaded > 200:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(path, cell, progress=stop, block_bytes=1000)
    half = counts(auditor)[0]
    assert 200 < half < 490
    report = run(path, cell, block_bytes=1000)
    assert report.resumed_at is not None
    assert (report.rows_read, report.rows_loaded, report.rows_rejected) == (500, 490, 10)
    assert counts(auditor) == (490, 0, 10)


_PROGRAM = """
import sys
from datetime import datetime
from pathlib import Path
from pydantic import SecretStr
from orchestration.loading import event_records
from orchestration.loading.event_import import import_events
from orchestration.settings import get_settings

event_records.MAX_LINE_BYTES = 500
settings = get_settings().model_copy(update={"dsn_na": SecretStr(sys.argv[2])})
now = datetime.fromisoformat(sys.argv[3])
show = lambda state: print(state.rows_loaded, flush=True)
import_events(Path(sys.argv[1]), "shop", settings=settings, now=now, progress=show, block_bytes=2000)
"""


def test_an_import_that_is_killed_again_and_again_loads_each_line_once(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    path = rees46(tmp_path / "oct.csv", 3000, bad_every=100)
    assert cell.dsn_na is not None
    program = [sys.executable, "-c", _PROGRAM, str(path), cell.dsn_na.get_secret_value(), NOW.isoformat()]
    kills, deadline = 0, time.monotonic() + 120
    while time.monotonic() < deadline:
        process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for shown, _ in enumerate(process.stdout, start=1):
            if kills < 3 and shown == 30 * (kills + 1):
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
        if process.wait() == 0:
            break
    assert kills == 3
    assert counts(auditor) == (2970, 0, 30)
    assert auditor.execute(
        "select rows_read, rows_loaded, rows_rejected, finished_at is not null from analytics.imports"
    ).fetchone() == (3000, 2970, 30, True)
    assert auditor.execute("select count(distinct (event_id)) from analytics.events").fetchone() == (2970,)


def test_a_value_that_only_the_server_refuses_costs_its_line_only(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rees46(tmp_path / "oct.csv", 40)
    path.write_text(path.read_text().replace("shiseido,35.79", "shiseido,12.5", 1))
    honest = copy_loader.copy_rows

    def refusing(connection: Any, table: str, blocks: Any) -> int:
        given = list(blocks)
        if table == "analytics.events" and "12.5" in str(given[0]["properties"].to_pylist()):
            connection.execute("select 'x'::int")
        return honest(connection, table, given)

    monkeypatch.setattr("orchestration.loading.event_import.copy_rows", refusing)
    report = run(path, cell)
    assert (report.rows_loaded, report.rows_rejected) == (39, 1)
    assert auditor.execute("select line, reason from platform.load_rejects").fetchall() == [
        (2, "is refused by the server (SQLSTATE 22P02)")
    ]


def test_a_file_that_the_mapping_is_not_for_changes_nothing(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ImportFileError, match="fits no mapping"):
        run(path, cell)
    with pytest.raises(ImportFileError, match="has no column event_time"):
        run(path, cell, mapping="rees46")
    with pytest.raises(ImportFileError, match="not for jsonl"):
        run(PRESETS / "samples" / "ga4.jsonl", cell, mapping="rees46")
    path.write_text(HEADER + "yesterday,view,1,2,,,1,3,\n" * 3)
    with pytest.raises(ImportFileError, match="none of the first 3 records"):
        run(path, cell)
    path.write_text(HEADER)
    with pytest.raises(ImportFileError, match="nothing to import"):
        run(path, cell)
    assert counts(auditor) == (0, 0, 0)
    assert auditor.execute("select count(*) from analytics.imports").fetchone() == (0,)


def test_a_closed_tenant_takes_no_events_and_the_others_do(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    path = rees46(tmp_path / "oct.csv", 10)
    with routing.connect("na", "superuser", autocommit=True, settings=cell) as connection:
        connection.execute(
            "insert into saas.tenant_fences (tenant_id, writes, reads, reason) values (%s, true, false, 'it is moved')",
            [SHOP],
        )
        try:
            with pytest.raises(LoadError, match="closed to writes"):
                run(path, cell)
            assert import_events(path, "other", settings=cell, now=NOW).rows_loaded == 10
        finally:
            connection.execute("delete from saas.tenant_fences")
    assert run(path, cell).rows_loaded == 10
    assert counts(auditor)[0] == 20


@pytest.mark.parametrize("failure", ["the_server_goes_away", "the_disk_is_full"])
def test_a_failing_server_keeps_what_was_committed_and_the_import_goes_on(
    cell: Settings,
    auditor: psycopg.Connection[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    monkeypatch.setattr("orchestration.loading.event_records.MAX_LINE_BYTES", 500)
    path = rees46(tmp_path / f"{failure}.csv", 100)
    honest, blocks = copy_loader.copy_rows, 0

    def failing(connection: Any, table: str, rows: Any) -> int:
        nonlocal blocks
        blocks += 1
        if blocks == 4:
            if failure == "the_disk_is_full":
                raise psycopg.errors.DiskFull
            with routing.connect("na", "superuser", autocommit=True, settings=cell) as connection_of_another:
                connection_of_another.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])
        return honest(connection, table, rows)

    with monkeypatch.context() as patched:
        patched.setattr("orchestration.loading.event_import.copy_rows", failing)
        with pytest.raises(LoadError, match="repeat the command"):
            run(path, cell, block_bytes=1000)
    assert 0 < counts(auditor)[0] < 100
    assert run(path, cell, block_bytes=1000).resumed_at is not None
    assert counts(auditor) == (100, 0, 0)


def test_a_hostile_file_is_accounted_for_to_the_line(
    cell: Settings, auditor: psycopg.Connection[Any], tmp_path: Path
) -> None:
    good = f"2026-11-09 00:00:00 UTC,view,1,2,a.b,c,1.50,3,{SESSION}\n".encode()
    bad = [
        b"\n",
        b"2026-11-09 00:00:00 UTC,view,1\n",
        good.replace(b"a.b", b"\xff"),
        good.replace(b"a.b", b"\x00"),
        good.replace(b"a.b", b"a\rb"),
        good.replace(b"a.b", b'"a'),
        good.replace(b"1.50", b"1,50"),
        good.replace(b"1.50", b"1e999"),
        good.replace(b"2026", b"0001"),
        good.replace(b"2026", b"9999"),
        good.replace(b"view", b""),
        good.replace(b",3,", b",9223372036854775808,"),
        good.replace(SESSION.encode(), SESSION[:-3].encode()),
    ]
    path = tmp_path / "hostile.csv"
    path.write_bytes(HEADER.encode() + b"".join(line for each in bad for line in (good, each)) + good.rstrip())
    report = run(path, cell)
    assert report.lines == report.rows_read + 1
    assert (report.rows_loaded, report.rows_rejected) == (len(bad) + 1, len(bad))
    lines = auditor.execute("select array_agg(line order by line) from platform.load_rejects").fetchone()
    assert lines == ([3 + 2 * number for number in range(len(bad))],)
