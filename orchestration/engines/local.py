"""The platform's servers on this machine as one thing: start, stop, status, destroy."""

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

from orchestration.cells import endpoints, routing
from orchestration.cells.regions import CELLS, CLUSTERS, Cell, Cluster
from orchestration.engines import external, home, locking, passwords, ports, probe, processes, server_user
from orchestration.engines.binaries import PostgresBinaries, find_postgres, find_redis
from orchestration.engines.databases import close_to_public, ensure_databases
from orchestration.engines.errors import EngineError, HomeError
from orchestration.engines.postgres import PostgresServer
from orchestration.engines.redis_server import RedisServer
from orchestration.engines.server_process import wait_until
from orchestration.engines.server_user import ServerUser
from orchestration.settings import Settings

Report = Callable[[str], None]
Kind = Literal["postgres", "redis"]
State = Literal["running", "stopped", "external", "unreachable"]
Task = Callable[[], None]

SERVERS: tuple[tuple[Kind, Cluster], ...] = (
    *(("postgres", cluster) for cluster in CLUSTERS),
    *(("redis", cell) for cell in CELLS),
)


@dataclass(frozen=True)
class EngineStatus:
    """One server.

    Attributes:
        name: control, na, eu or apac.
        kind: postgres or redis.
        state: ``external`` is one that the settings name and that answers; ``unreachable`` one that should answer
            and does not.
        port: TCP port, None before the first start.
        version: of PostgreSQL or Redis, None when it does not answer.
        timescaledb_version: of the extension in the cell's database.
        edition: "apache" or "timescale" (Community).
        pid: of a local server that runs.
    """

    name: Cluster
    kind: Kind
    state: State
    port: int | None = None
    version: str | None = None
    timescaledb_version: str | None = None
    edition: str | None = None
    pid: int | None = None


class LocalEngines:
    """Four PostgreSQL clusters and three Redis processes below ``settings.home``.

    A server that the settings name by DSN or URL is asked instead of started. Every method can be called at any time
    and again; two callers cannot get in each other's way.

    Args:
        settings: of the platform.
        durable: False gives up safety against a crash of the machine for speed, for tests that throw data away.
    """

    def __init__(self, settings: Settings, *, durable: bool = True) -> None:
        self._settings = settings
        self._durable = durable

    def start(self, report: Report) -> None:
        """Start every server and wait until all take connections; what runs already is left alone.

        Args:
            report: called with a line about each step, one at a time, from any thread.

        Raises:
            EngineError: a server cannot start; one line for each that cannot, with the reason and the way out.
        """
        home.prepare(self._settings)
        with _os_errors_explained(), locking.hold(self._settings.home, "capstone up"):
            self._start(_one_at_a_time(report))

    def stop(self, report: Report) -> None:
        """Stop every local server; the data stay.

        Raises:
            EngineError: a server does not stop.
        """
        if not home.is_home(self._settings.home):
            return
        with _os_errors_explained(), locking.hold(self._settings.home, "capstone down"):
            self._stop(_one_at_a_time(report))

    def destroy(self, report: Report) -> None:
        """Stop everything that runs from the state directory and remove it. What lies on external servers stays.

        Raises:
            HomeError: the directory was not made by capstone; nothing is touched.
            EngineError: a server does not stop; nothing is removed.
        """
        if not self._settings.home.exists():
            report(f"{self._settings.home} does not exist: nothing to remove")
            return
        if not home.is_home(self._settings.home):
            raise HomeError(
                f"{self._settings.home} was not made by capstone ({home.MARKER} is missing): nothing was removed"
            )
        with _os_errors_explained(), locking.hold(self._settings.home, "capstone down --destroy"):
            for process in processes.status(self._settings):
                processes.stop(process.name, self._settings)
            self._stop(_one_at_a_time(report))
            home.remove(self._settings)
        report(f"removed {self._settings.home}")

    def status(self) -> list[EngineStatus]:
        """Return the state of every server, PostgreSQL first; never raises for one that is down."""
        user = server_user.resolve(self._settings) if self._was_started() else None
        with ThreadPoolExecutor(len(SERVERS)) as pool:
            return list(pool.map(lambda server: self._status(server[0], server[1], user), SERVERS))

    def _start(self, report: Report) -> None:
        user = server_user.resolve(self._settings)
        home.check_access(self._settings.home, user)
        first_start = ports.recorded_base(self._settings) is None
        base = ports.ensure_base(self._settings)
        if first_start:
            report(f"ports {base} to {base + endpoints.PORT_BLOCK - 1} are this platform's from now on")
        majors = [major for name in CLUSTERS if (major := self._cluster(name, user).major_of_data()) is not None]
        passwords.ensure(self._settings, servers_exist=bool(majors))
        for kind, name in SERVERS:
            if self._is_external(kind, name):
                self._prepare_external(kind, name, report)
        clusters = [self._cluster(name, user) for name in CLUSTERS if not self._is_external("postgres", name)]
        caches = [self._cache(cell, user) for cell in CELLS if not self._is_external("redis", cell)]
        tasks: list[Task] = []
        if clusters:
            binaries = find_postgres(majors)
            tasks += [partial(self._start_cluster, server, binaries, report) for server in clusters]
        if caches:
            program = find_redis()
            for cache in caches:
                secret = endpoints.password(f"redis_{cache.name}", self._settings)
                tasks.append(partial(cache.start, program, secret, report))
        _require_ports([*clusters, *caches])
        _run_all(tasks)

    def _start_cluster(self, server: PostgresServer, binaries: PostgresBinaries, report: Report) -> None:
        server.make(binaries, endpoints.password("superuser", self._settings), report)
        server.start(binaries, report)
        with routing.connect(
            server.name,
            "superuser",
            database=external.MAINTENANCE_DATABASE,
            autocommit=True,
            settings=self._settings,
        ) as connection:
            ensure_databases(
                connection,
                server.name,
                cell_database=endpoints.CELL_DATABASE,
                dagster_password=endpoints.password("dagster", self._settings),
            )
            close_to_public(connection)

    def _prepare_external(self, kind: Kind, name: Cluster, report: Report) -> None:
        if kind == "postgres":
            external.prepare(name, self._settings)
            report(f"PostgreSQL of {name}: answers, as CAPSTONE_DSN_{name.upper()} says")
        else:
            probe.ask_redis(cast(Cell, name), self._settings)
            report(f"Redis of {name}: answers, as CAPSTONE_REDIS_URL_{name.upper()} says")

    def _stop(self, report: Report) -> None:
        if not self._was_started():
            return
        user = server_user.resolve(self._settings)
        # All of them, also those that a DSN has replaced since they were started.
        clusters = [self._cluster(name, user) for name in CLUSTERS]
        servers: list[PostgresServer | RedisServer] = [*clusters, *(self._cache(cell, user) for cell in CELLS)]
        _run_all([partial(server.stop, report) for server in servers])

    def _status(self, kind: Kind, name: Cluster, user: ServerUser | None) -> EngineStatus:
        is_external = self._is_external(kind, name)
        status = EngineStatus(name, kind, "external" if is_external else "running")
        if not is_external:
            if user is None:
                return replace(status, state="stopped")
            server = self._cluster(name, user) if kind == "postgres" else self._cache(cast(Cell, name), user)
            process = server.process()
            if process is None:
                return replace(status, state="stopped", port=server.port)
            status = replace(status, port=server.port, pid=process.pid)
        try:
            if kind == "redis":
                cell = cast(Cell, name)
                if is_external:
                    status = replace(status, port=probe.redis_port(cell, self._settings))
                return replace(status, version=probe.ask_redis(cell, self._settings))
            status = replace(status, port=endpoints.postgres(name, self._settings).port)
            facts = probe.ask_postgres(name, self._settings)
        except (EngineError, endpoints.EndpointError, routing.CellUnavailableError):
            return replace(status, state="unreachable")
        return replace(
            status,
            version=facts.version,
            timescaledb_version=facts.timescaledb_version,
            edition=facts.edition,
        )

    def _was_started(self) -> bool:
        return home.is_home(self._settings.home) and ports.recorded_base(self._settings) is not None

    def _is_external(self, kind: Kind, name: Cluster) -> bool:
        field = f"dsn_{name}" if kind == "postgres" else f"redis_url_{name}"
        return getattr(self._settings, field) is not None

    def _cluster(self, name: Cluster, user: ServerUser) -> PostgresServer:
        port = endpoints.port(f"postgres_{name}", self._settings)
        return PostgresServer(name, self._settings, user, port, durable=self._durable)

    def _cache(self, cell: Cell, user: ServerUser) -> RedisServer:
        port = endpoints.port(f"redis_{cell}", self._settings)
        return RedisServer(cell, self._settings, user, port, durable=self._durable)


def _require_ports(servers: Sequence[PostgresServer | RedisServer]) -> None:
    """Fail when a port of a server that does not run is taken, before anything is started."""
    wanted = {str(server): server.port for server in servers if server.process() is None}
    wait_until(lambda: all(ports.is_free(port) for port in wanted.values()), ports.PORT_RELEASE_SECONDS)
    ports.require_free(wanted)


def _run_all(tasks: Sequence[Task]) -> None:
    """Run the tasks side by side, each to its end, and raise what has gone wrong as one error."""
    if not tasks:
        return
    with ThreadPoolExecutor(len(tasks)) as pool:
        done, _ = wait([pool.submit(task) for task in tasks])
    errors = [error for future in done if (error := future.exception()) is not None]
    unforeseen = [error for error in errors if not isinstance(error, EngineError | routing.CellUnavailableError)]
    if unforeseen:
        raise unforeseen[0]
    if errors:
        kinds = {type(error) for error in errors}
        kind = kinds.pop() if len(kinds) == 1 and isinstance(errors[0], EngineError) else EngineError
        raise kind("\n".join(sorted(str(error) for error in errors)))


def _one_at_a_time(report: Report) -> Report:
    """Return ``report`` such that the threads that start servers never call it at once."""
    lock = threading.Lock()

    def guarded(line: str) -> None:
        with lock:
            report(line)

    return guarded


@contextmanager
def _os_errors_explained() -> Iterator[None]:
    """Turn what the operating system refuses into an error that a user can act on."""
    try:
        yield
    except PermissionError as error:
        raise HomeError(
            f"{error.filename} cannot be used by this user: run as the owner of the state directory, "
            "or set CAPSTONE_HOME"
        ) from error
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise EngineError(f"{error.strerror}{place}: mend that and run `capstone up` again") from error
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"{error.cmd[0]} did not end within {error.timeout:.0f} s: see the logs") from error
