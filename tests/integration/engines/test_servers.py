"""The local servers under what happens to machines: killed processes, stale files, taken ports, impatient people."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, CLUSTERS, Cluster
from orchestration.engines import home, postgres, server_user
from orchestration.engines.binaries import find_postgres
from orchestration.engines.errors import DiskFullError, EngineError, MissingEngineError, PortTakenError
from orchestration.engines.local import LocalEngines
from orchestration.engines.postgres import PostgresServer
from orchestration.engines.server_process import is_alive, wait_until
from orchestration.settings import Settings
from tests.conftest import NewSettings
from tests.integration.engines.conftest import Platform, server_processes

PATIENCE_SECONDS = 15.0

START = """
import sys
from orchestration.engines.errors import LockedError
from orchestration.engines.local import LocalEngines
from orchestration.engines.postgres import PostgresServer
from orchestration.settings import get_settings
try:
    LocalEngines(get_settings(), durable=sys.argv[1] == "durable").start(lambda line: print(line, flush=True))
except LockedError as error:
    print(error)
    sys.exit(75)
"""


def start_elsewhere(settings: Settings, *, durable: bool = True) -> "subprocess.Popen[str]":
    """Start the servers from another process, as `capstone up` in another terminal would."""
    environment = {**os.environ, "CAPSTONE_HOME": str(settings.home), "CAPSTONE_PORT_BASE": str(settings.port_base)}
    return subprocess.Popen(
        [sys.executable, "-c", START, "durable" if durable else "fast"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def connection_refusal(**parameters: str | int) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(**{"user": "postgres", "dbname": "postgres", "connect_timeout": 5, **parameters})  # type: ignore[arg-type]
    return str(caught.value)


def test_everything_runs_and_says_what_it_is(platform: Platform) -> None:
    statuses = platform.engines.status()

    assert [(status.kind, status.name) for status in statuses] == [
        *(("postgres", cluster) for cluster in CLUSTERS),
        *(("redis", cell) for cell in CELLS),
    ]
    assert {status.state for status in statuses} == {"running"}
    assert all(status.version for status in statuses)


def test_a_migrated_cell_names_its_edition(cells: LocalEngines) -> None:
    statuses = {status.name: status for status in cells.status() if status.kind == "postgres"}

    assert statuses.pop("control").edition is None
    assert {status.edition for status in statuses.values()} <= {"apache", "timescale"}
    assert all(status.timescaledb_version for status in statuses.values())


def test_a_second_start_is_quick_and_changes_nothing(platform: Platform) -> None:
    before = platform.pids()
    files = {path: path.stat().st_mtime_ns for path in platform.settings.home.glob("*.json")}
    began = time.monotonic()

    platform.start()

    assert time.monotonic() - began < 5
    assert platform.pids() == before
    assert {path: path.stat().st_mtime_ns for path in platform.settings.home.glob("*.json")} == files


def test_stop_leaves_no_process_and_a_second_stop_does_nothing(platform: Platform) -> None:
    platform.stop()

    assert server_processes(platform.settings.home) == []
    assert {status.state for status in platform.engines.status()} == {"stopped"}
    platform.stop()


def test_no_server_runs_as_root(platform: Platform) -> None:
    for pid in platform.pids().values():
        assert pid is not None
        assert 0 not in psutil.Process(pid).uids()
        assert 0 not in psutil.Process(pid).gids()


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_nobody_connects_without_the_right_password(platform: Platform, cluster: Cluster) -> None:
    port = endpoints.port(f"postgres_{cluster}", platform.settings)
    for host in ("127.0.0.1", str(platform.settings.home / "sockets")):
        assert "no password supplied" in connection_refusal(host=host, port=port, passfile="/dev/null")
        assert "password authentication failed" in connection_refusal(host=host, port=port, password="guess")


def test_redis_answers_nobody_without_its_own_password(platform: Platform) -> None:
    for password in (None, "guess", endpoints.password("redis_eu", platform.settings)):
        # A default client repeats a refused login for seconds.
        once = Retry(NoBackoff(), 0)
        client = redis.Redis(port=endpoints.port("redis_na", platform.settings), password=password, retry=once)
        with pytest.raises(redis.AuthenticationError):
            client.ping()


def test_nothing_listens_beyond_loopback(platform: Platform) -> None:
    pids = set(platform.pids().values())

    addresses = {
        connection.laddr.ip
        for connection in psutil.net_connections(kind="inet")
        if connection.pid in pids and connection.status == psutil.CONN_LISTEN and connection.laddr
    }

    assert addresses == {"127.0.0.1"}


def test_passwords_stand_in_no_log_and_in_no_process(platform: Platform) -> None:
    with platform.connect("na") as connection, pytest.raises(psycopg.errors.DuplicateDatabase):
        connection.execute("create database capstone")
    port = endpoints.port("postgres_na", platform.settings)
    connection_refusal(host="127.0.0.1", port=port, password="guess")
    content = json.loads((platform.settings.home / "secrets.json").read_text())

    def logs() -> list[str]:
        return [path.read_text(errors="replace") for path in platform.settings.logs.rglob("*.*")]

    # The collector writes when it gets to it.
    assert wait_until(lambda: any("password authentication failed" in text for text in logs()), 10)
    seen = logs()
    for pid in server_processes(platform.settings.home):
        process = psutil.Process(pid)
        seen.append(" ".join(process.cmdline()))
        seen.append(str(process.environ()))
    assert [name for name, password in content.items() if any(password in text for text in seen)] == []


def test_rows_and_statements_that_fail_stay_out_of_the_log(platform: Platform) -> None:
    with platform.connect("na") as connection:
        connection.execute("create temporary table person (email text primary key)")
        connection.execute("insert into person values ('ada@example.org')")
        with pytest.raises(psycopg.errors.UniqueViolation, match=r"ada@example\.org"):
            connection.execute("insert into person values ('ada@example.org')")

    def log() -> str:
        return "".join(path.read_text(errors="replace") for path in (platform.settings.logs / "postgres_na").iterdir())

    # The collector writes when it gets to it.
    assert wait_until(lambda: "duplicate key value" in log(), 10)
    assert "ada@example.org" not in log()


def test_only_the_password_file_knows_passwords_and_only_its_owner_reads_it(platform: Platform) -> None:
    state = platform.settings.home
    secret = endpoints.password("superuser", platform.settings)
    holders = [
        path
        for path in [*state.glob("*"), *state.glob("postgres/*/*"), *state.glob("redis/*/*")]
        if path.is_file() and secret in path.read_text(errors="replace")
    ]

    assert holders == [state / "secrets.json"]
    for path in (state / "secrets.json", *state.glob("redis/*/redis.conf")):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cluster", CLUSTERS)
def test_the_public_may_connect_to_no_database(platform: Platform, cluster: Cluster) -> None:
    with platform.connect(cluster) as connection:
        rows = connection.execute(
            "select datname, has_database_privilege('public', oid, 'connect') from pg_database"
        ).fetchall()

    expected = {"dagster", "global"} if cluster == "control" else {"capstone"}
    assert {name for name, _ in rows} == {"postgres", "template0", "template1", *expected}
    assert not any(connectable for _, connectable in rows)


def test_dagster_owns_its_database_and_enters_no_other(platform: Platform) -> None:
    with routing.connect("control", "dagster", database="dagster", settings=platform.settings) as connection:
        connection.execute("create table runs_of_a_test ()")
        connection.rollback()
    with pytest.raises(routing.CellUnavailableError, match='permission denied for database "global"'):
        routing.connect("control", "dagster", database="global", settings=platform.settings)


def test_a_killed_cluster_comes_back_with_every_committed_row(platform: Platform) -> None:
    with platform.connect("na") as connection:
        connection.execute("create table if not exists killed (n int)")
        connection.execute("insert into killed values (1)")
    before = platform.cluster("na").process()
    assert before is not None
    before.kill()

    platform.start()

    with platform.connect("na") as connection:
        row = connection.execute("select count(*) > 0 from killed").fetchone()
        connection.execute("drop table killed")
    assert row == (True,)
    assert platform.pids()["postgres", "na"] != before.pid


def test_a_busy_backend_does_not_outlive_its_killed_cluster(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ORPHAN_SECONDS", 0.5)
    connection = platform.connect("eu")
    busy = connection.info.backend_pid
    # A loop that never looks up: such a backend does not notice that its postmaster is gone.
    connection.pgconn.send_query(b"do $$ declare n int := 0; begin loop n := 1 - n; end loop; end $$")
    postmaster = platform.cluster("eu").process()
    assert postmaster is not None
    postmaster.kill()
    assert wait_until(lambda: not is_alive(postmaster.pid), PATIENCE_SECONDS)
    assert is_alive(busy)

    platform.start()

    assert not is_alive(busy)
    with platform.connect("eu") as again:
        assert again.execute("select 1").fetchone() == (1,)


def test_a_killed_redis_comes_back_with_what_it_had(platform: Platform) -> None:
    with platform.redis("apac") as client:
        client.set("killed", "no loss")
    process = platform.cache("apac").process()
    assert process is not None
    process.kill()

    platform.start()

    with platform.redis("apac") as client:
        assert client.get("killed") == b"no loss"


@pytest.mark.parametrize("content", ["{pid}\n", "", "no number\n"])
def test_stale_pid_and_lock_files_do_not_keep_a_cluster_down(platform: Platform, content: str) -> None:
    # A living process of the same user, as after a reboot that has given the number to another server.
    innocent = platform.pids()["redis", "na"]
    cluster = platform.cluster("na")
    cluster.stop(lambda _: None)
    lock = platform.settings.home / "sockets" / f".s.PGSQL.{cluster.port}.lock"
    for path in (cluster.data / "postmaster.pid", lock):
        path.write_text(content.format(pid=innocent))

    platform.start()

    assert cluster.process() is not None
    assert platform.pids()["redis", "na"] == innocent


def test_a_taken_port_names_port_and_process_and_nothing_is_started(platform: Platform) -> None:
    platform.stop()
    port = endpoints.port("redis_eu", platform.settings)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        with pytest.raises(PortTakenError, match=rf"port {port} of Redis of eu is taken by .*pid {os.getpid()}"):
            platform.start()

    assert server_processes(platform.settings.home) == []


def test_of_two_starts_at_once_one_waits_its_turn_and_each_server_runs_once(platform: Platform) -> None:
    platform.stop()
    starts = [start_elsewhere(platform.settings) for _ in range(2)]
    outputs = [start.communicate(timeout=60)[0] for start in starts]

    codes = sorted(start.returncode for start in starts)
    assert codes in ([0, 75], [0, 0]), outputs
    if codes == [0, 75]:
        assert any("is in use by `capstone up` (pid" in output for output in outputs)
    postmasters = [
        pid
        for pid in server_processes(platform.settings.home)
        if psutil.Process(pid).name() in ("postgres", "redis-server")
    ]
    assert len(postmasters) == len(CLUSTERS) + len(CELLS)


def test_data_of_another_major_version_are_named(platform: Platform) -> None:
    cluster = platform.cluster("eu")
    cluster.stop(lambda _: None)
    version = cluster.data / "PG_VERSION"
    real = version.read_text()
    try:
        for name in CLUSTERS:
            (platform.cluster(name).data / "PG_VERSION").write_text("9\n")
        with pytest.raises(MissingEngineError, match=r"made by PostgreSQL 9, but installed is \d+"):
            platform.start()
    finally:
        for name in CLUSTERS:
            (platform.cluster(name).data / "PG_VERSION").write_text(real)


def test_an_incomplete_data_directory_is_an_error_and_is_left_alone(platform: Platform) -> None:
    cluster = platform.cluster("eu")
    cluster.stop(lambda _: None)
    control = cluster.data / "global" / "pg_control"
    aside = control.with_suffix(".aside")
    control.rename(aside)
    try:
        with pytest.raises(EngineError, match=r"postgres/eu/data is not a complete PostgreSQL cluster.*backup"):
            platform.start()
    finally:
        aside.rename(control)


def test_a_missing_library_names_the_mend(platform: Platform) -> None:
    cluster = platform.cluster("eu")
    cluster.stop(lambda _: None)
    local = cluster.directory / "local.conf"
    mine = local.read_text()
    try:
        local.write_text("shared_preload_libraries = 'timescaledb_gone'\n")
        with pytest.raises(MissingEngineError, match=r"PostgreSQL of eu did not start: TimescaleDB .*make up"):
            platform.start()
    finally:
        local.write_text(mine)


def test_a_full_disk_is_said_before_a_server_is_started(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.cluster("eu").stop(lambda _: None)
    usage = shutil.disk_usage("/")._replace(free=5 * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    with pytest.raises(DiskFullError, match=r"PostgreSQL of eu needs 32 MB .* but there are 5 MB"):
        platform.start()


def test_an_external_server_is_asked_and_prepared_but_never_started(
    platform: Platform, new_settings: NewSettings
) -> None:
    def external(password: str) -> Settings:
        dsns = {
            f"dsn_{name}": f"postgresql://postgres:{password}@127.0.0.1:"
            f"{endpoints.port(f'postgres_{name}', platform.settings)}/{'' if name == 'control' else 'elsewhere'}"
            for name in CLUSTERS
        }
        urls = {f"redis_url_{cell}": endpoints.redis_url(cell, platform.settings) for cell in CELLS}
        return Settings.model_validate({**bare.model_dump(), **dsns, **urls})

    bare = new_settings()
    settings = external(endpoints.password("superuser", platform.settings))
    engines = LocalEngines(settings)

    engines.start(lambda _: None)
    engines.start(lambda _: None)

    assert {status.state for status in engines.status()} == {"external"}
    assert server_processes(settings.home) == []
    with routing.connect("control", "dagster", database="dagster", settings=settings) as connection:
        assert connection.execute("select current_user").fetchone() == ("dagster",)
    with routing.connect("na", "superuser", settings=settings) as connection:
        assert connection.execute("select current_database()").fetchone() == ("elsewhere",)
    engines.stop(lambda _: None)
    assert None not in platform.pids().values()

    with pytest.raises(EngineError, match="CAPSTONE_DSN_CONTROL") as caught:
        LocalEngines(external("guess")).start(lambda _: None)
    assert "guess" not in str(caught.value)
    platform.start()
    for cell in CELLS:
        with platform.connect(cell) as connection:
            connection.execute("drop database elsewhere")


def test_an_external_server_that_does_not_answer_is_an_error_and_shows_as_unreachable(
    new_settings: NewSettings,
) -> None:
    bare = new_settings()
    settings = Settings.model_validate(
        {**bare.model_dump(), "dsn_eu": f"postgresql://admin:very-secret@127.0.0.1:{bare.port_base}/capstone"}
    )

    with pytest.raises(EngineError, match="CAPSTONE_DSN_EU") as caught:
        LocalEngines(settings).start(lambda _: None)

    assert "very-secret" not in str(caught.value)
    states = {(status.kind, status.name): status.state for status in LocalEngines(settings).status()}
    assert states["postgres", "eu"] == "unreachable"
    assert server_processes(settings.home) == []


def test_a_start_that_was_broken_off_is_continued_by_the_next_and_destroy_leaves_nothing(
    new_settings: NewSettings,
) -> None:
    for _ in range(5):
        settings = new_settings()
        unfinished = [settings.home / "postgres" / name / "data.unfinished" for name in CLUSTERS]
        start = start_elsewhere(settings, durable=True)
        assert wait_until(lambda: any(map(Path.exists, unfinished)), PATIENCE_SECONDS)  # noqa: B023 - called here
        # As Ctrl-C does: to the command and all that it has in hand.
        os.killpg(start.pid, signal.SIGINT)
        start.communicate(timeout=60)
        if start.returncode != 0:
            break
    else:
        pytest.fail("the start was always done before it could be interrupted")
    # As a killed machine does.
    junk = unfinished[0]
    junk.mkdir(exist_ok=True, parents=True)
    (junk / "PG_VERSION").write_text("15\n")

    engines = LocalEngines(settings, durable=False)
    engines.start(lambda _: None)
    assert {status.state for status in engines.status()} == {"running"}
    assert not any(path.exists() for path in unfinished)

    engines.destroy(lambda _: None)
    assert not settings.home.exists()
    assert server_processes(settings.home) == []


def test_a_home_that_lies_deep_still_has_a_socket(new_settings: NewSettings) -> None:
    shallow = new_settings()
    settings = Settings(home=shallow.home / ("d" * 60) / ("e" * 60))
    home.prepare(settings)
    assert shallow.port_base is not None
    cluster = PostgresServer("eu", settings, server_user.resolve(settings), shallow.port_base, durable=False)
    binaries = find_postgres()
    try:
        cluster.make(binaries, "not a secret", lambda _: None)
        cluster.start(binaries, lambda _: None)
        sockets = home.sockets_path(settings)
        for password in ("guess", "not a secret"):
            refused = password == "guess"
            with pytest.raises(psycopg.OperationalError, match="password") if refused else nullcontext():
                psycopg.connect(
                    host=str(sockets), port=cluster.port, user="postgres", dbname="postgres", password=password
                ).close()
    finally:
        cluster.stop(lambda _: None)
        home.remove(settings)
    assert not sockets.exists()
