"""Dagster's processes, the documentation server, the stream processors: what each is started with, when it serves."""

import http.client
import socket
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestration.cells import endpoints
from orchestration.cells.regions import CELLS, Cell
from orchestration.engines import processes
from orchestration.engines.processes import ProcessSpec, ProcessStatus
from orchestration.lifecycle import dagster_home
from orchestration.realtime.service_mark import is_serving
from orchestration.settings import PROJECT_ROOT, Settings

CODE_SERVER = "code_server"
WEBSERVER = "webserver"
DAEMON = "daemon"
DOCS = "docs"
DAGSTER = (CODE_SERVER, WEBSERVER, DAEMON, DOCS)
STREAM_OF: dict[Cell, str] = {cell: f"stream_{cell}" for cell in CELLS}
STREAMS = tuple(STREAM_OF.values())
SERVICES = (*DAGSTER, *STREAMS)

LOOPBACK = "127.0.0.1"
# Three Python programs import Dagster at the same moment, on two cores that may be making databases too.
START_SECONDS = 120.0
_PROBE_SECONDS = 2.0

# What the code server has in memory: a newer file means that it serves yesterday's code.
_CODE = (("orchestration", ("*.py", "*.sql")), ("dbt_project", ("*.sql", "*.yml", "*.json")))


def _listens(port: int) -> Callable[[int], bool]:
    def probe(_pid: int) -> bool:
        try:
            socket.create_connection((LOOPBACK, port), timeout=_PROBE_SECONDS).close()
        except OSError:
            return False
        return True

    return probe


def _answers(port: int, path: str) -> Callable[[int], bool]:
    def probe(_pid: int) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def specs(settings: Settings) -> dict[str, ProcessSpec]:
    """Return how each service is started: all on loopback, all with this home in their environment."""
    port = {name: endpoints.port(name, settings) for name in (CODE_SERVER, WEBSERVER, DOCS)}
    env = {
        "CAPSTONE_HOME": str(settings.home),
        "DAGSTER_HOME": str(settings.dagster_home),
        # Dagster asks for new versions over the network otherwise.
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    workspace = str(dagster_home.workspace_file(settings))
    python = sys.executable
    code = [python, "-m", "dagster", "code-server", "start", "-m", "orchestration.definitions"]
    commands: dict[str, list[str]] = {
        CODE_SERVER: [*code, "-h", LOOPBACK, "-p", str(port[CODE_SERVER]), "--location-name", dagster_home.LOCATION],
        WEBSERVER: [python, "-m", "dagster_webserver", "-h", LOOPBACK, "-p", str(port[WEBSERVER]), "-w", workspace],
        DAEMON: [python, "-m", "dagster._daemon", "run", "-w", workspace],
        DOCS: [python, "-m", "http.server", str(port[DOCS]), "--bind", LOOPBACK, "--directory", str(settings.docs)],
    }
    for cell, name in STREAM_OF.items():
        commands[name] = [python, "-m", "orchestration.cli", "stream", "run", "--cell", cell]
    ready: dict[str, Callable[[int], bool]] = {
        CODE_SERVER: _listens(port[CODE_SERVER]),
        WEBSERVER: _answers(port[WEBSERVER], "/server_info"),
        DOCS: _answers(port[DOCS], "/"),
        **{name: partial(is_serving, cell, settings) for cell, name in STREAM_OF.items()},
    }
    return {
        name: ProcessSpec(
            name=name,
            argv=argv,
            log=settings.logs / f"{name}.log",
            env=env,
            ready=ready.get(name),
            deadline_seconds=START_SECONDS,
            cwd=PROJECT_ROOT,
        )
        for name, argv in commands.items()
    }


def start(settings: Settings, names: Iterable[str] = SERVICES) -> dict[str, ProcessStatus]:
    """Start the services that do not run and wait until they serve.

    Raises:
        ProcessError: one does not start; carries the end of its log.
    """
    settings.docs.mkdir(parents=True, exist_ok=True)
    known = specs(settings)
    asked = set(names)
    started: dict[str, ProcessStatus] = {}
    # Webserver and daemon look for the code server at once, and fill their logs with errors when it is not there.
    for wave in ((CODE_SERVER, DOCS), (WEBSERVER, DAEMON), STREAMS):
        wanted = [known[name] for name in wave if name in asked]
        with ThreadPoolExecutor(len(wave)) as pool:
            for status in pool.map(lambda spec: processes.start(spec, settings), wanted):
                started[status.name] = status
    return started


def stop(settings: Settings, names: Iterable[str] = SERVICES) -> None:
    """Stop the services, and the runs that the code server has started.

    The daemon goes first: it would launch queued runs on the way down.
    """
    order = [name for name in (*STREAMS, DAEMON, WEBSERVER, CODE_SERVER, DOCS) if name in set(names)]
    for name in order:
        processes.stop(name, settings)


def status(settings: Settings) -> dict[str, ProcessStatus | None]:
    """Return the state of each service; None for one that was never started, or was stopped."""
    found = {state.name: state for state in processes.status(settings)}
    return {name: found.get(name) for name in SERVICES}


def dead(settings: Settings, names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that do not run."""
    states = status(settings)
    return [name for name in names if (state := states.get(name)) is None or state.state != "running"]


def newest_code(root: Path = PROJECT_ROOT) -> datetime:
    """Return when a file that the code server has loaded was last changed."""
    times = [
        path.stat().st_mtime
        for folder, patterns in _CODE
        for pattern in patterns
        for path in (root / folder).rglob(pattern)
        # dbt writes there at every run; the manifest that Dagster read is compared by its own project files.
        if "target" not in path.parts and "logs" not in path.parts
    ]
    return datetime.fromtimestamp(max(times, default=0.0), tz=UTC)
