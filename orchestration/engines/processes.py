"""Background processes of the platform: the webserver, the daemon, the code server, the docs server.

Each is started as the leader of a session of its own and outlives the command that started it. It is recognised by
process id *and* time of creation, because process ids are given out again; what it has started, by a token that every
descendant inherits in its environment, because run workers survive their parent and change their group.
"""

import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil

from orchestration.engines import ports
from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.errors import EngineError
from orchestration.engines.ports import PORT_RELEASE_SECONDS
from orchestration.engines.server_process import is_alive, wait_gone, wait_until
from orchestration.settings import Settings, get_settings

TOKEN_VARIABLE = "CAPSTONE_PROCESS_TOKEN"  # noqa: S105 -- a mark of identity, not a secret

# psutil computes the time of creation from the kernel's clock ticks, 10 ms each.
CREATION_TOLERANCE_SECONDS = 0.05

STOP_SECONDS = 15.0
KILL_SECONDS = 5.0
# A readiness check may be an HTTP request: it need not run as often as a look at a process.
READY_POLL_SECONDS = 0.2
# A log that has grown beyond this is put aside at the next start; the one before it is dropped.
LOG_BYTES = 20 * 1024**2
LOG_TAIL_LINES = 15


class ProcessError(EngineError):
    """A background process did not start or does not stop; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class ProcessSpec:
    """One background process.

    Attributes:
        name: what it is called in `capstone status`; also the name of its file below run/.
        argv: command line. Every user of the machine can read it: no secrets.
        log: file that its output is appended to.
        env: variables added to this process's environment.
        ready: tells whether the process of that id serves; None when being alive is all there is to see.
        deadline_seconds: within which it has to be ready.
        cwd: its working directory.
        port: of the loopback interface, which it will listen on and which has to be free: else somebody else's
            server might answer in its place and pass for ready.
    """

    name: str
    argv: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int], bool] | None = None
    deadline_seconds: float = 60.0
    cwd: Path | None = None
    port: int | None = None


@dataclass(frozen=True)
class ProcessStatus:
    """State of one background process.

    Attributes:
        name: as in its specification.
        state: ``dead`` is one that was started, was not stopped, and is gone.
        pid: of the running process.
        started_at: when it was started.
        log: its log file.
    """

    name: str
    state: Literal["running", "dead"]
    pid: int | None
    started_at: datetime
    log: Path


@dataclass(frozen=True)
class _Record:
    name: str
    pid: int
    create_time: float
    token: str
    log: Path

    def leader(self) -> psutil.Process | None:
        """Return the process that was started, None when it is gone and its id free or somebody else's."""
        _reap(self.pid)
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            # The computed time shifts when the machine's clock is set: then the token decides.
            same = abs(process.create_time() - self.create_time) < CREATION_TOLERANCE_SECONDS
            return process if same or _token(process) == self.token else None
        except psutil.Error:
            return None

    def family(self) -> list[psutil.Process]:
        """Return every living process that was started for this name: the leader, and all that descend from it."""
        found: dict[int, psutil.Process] = {}
        leader = self.leader()
        if leader is not None:
            found[leader.pid] = leader
            with suppress(psutil.Error):
                found.update({child.pid: child for child in leader.children(recursive=True)})
        for process in psutil.process_iter():
            if process.pid not in found and (_token(process) == self.token or _in_session(process, leader)):
                found[process.pid] = process
        return [process for process in found.values() if is_alive(process.pid) and process.pid != os.getpid()]


def start(spec: ProcessSpec, settings: Settings | None = None) -> ProcessStatus:
    """Start a process, unless it runs, and wait until it is ready.

    One that is alive and does not become ready is replaced once; what a dead one has left behind is ended first.

    Raises:
        ProcessError: the program is missing, it exits, or it is not ready within its deadline; nothing of it is left.
        PortTakenError: its port belongs to somebody else.
    """
    settings = settings or get_settings()
    record = _read(spec.name, settings)
    if record is not None and record.leader() is not None and _await_ready(spec, record):
        return _status(record)
    if record is not None:
        stop(spec.name, settings)
    if spec.port is not None:
        port = spec.port
        wait_until(lambda: ports.is_free(port), PORT_RELEASE_SECONDS)
        ports.require_free({spec.name: port})
    record = _spawn(spec, settings)
    if _await_ready(spec, record):
        return _status(record)
    exited = record.leader() is None
    stop(spec.name, settings)
    what = "exited" if exited else f"was not ready after {spec.deadline_seconds:.0f} s"
    raise ProcessError(f"{spec.name} {what}; the end of {spec.log}:\n{_tail(spec.log)}")


def stop(name: str, settings: Settings | None = None, *, deadline_seconds: float = STOP_SECONDS) -> None:
    """Stop a process and everything it has started: asked first, killed after the deadline. No record: nothing to do.

    The leader is asked alone, so that it can end its children in order; then whatever is left.

    Raises:
        ProcessError: a process survives being killed (the kernel keeps it waiting for a device).
    """
    settings = settings or get_settings()
    record = _read(name, settings)
    if record is None:
        return
    family = record.family()
    leader = record.leader()
    if leader is not None:
        _signal([leader], signal.SIGTERM)
        wait_gone([leader], deadline_seconds)
    for how, patience in ((signal.SIGTERM, KILL_SECONDS), (signal.SIGKILL, KILL_SECONDS)):
        # Looked for again each time: a process may have started another meanwhile.
        family = _merge(family, record.family())
        _signal(family, how)
        family = wait_gone(family, patience)
    # The leader may be a zombie while its other threads still end: until they have, it holds its files and its id.
    wait_until(lambda: _reap(record.pid), KILL_SECONDS)
    family = _merge(family, record.family())
    if family:
        raise ProcessError(f"process {family[0].pid} of {name} does not end, even when killed: see {record.log}")
    _file(name, settings).unlink(missing_ok=True)


def status(settings: Settings | None = None) -> list[ProcessStatus]:
    """Return the state of every process that was started and not stopped, by name."""
    settings = settings or get_settings()
    records = [_read(path.stem, settings) for path in sorted((settings.home / "run").glob("*.json"))]
    return [_status(record) for record in records if record is not None]


def _spawn(spec: ProcessSpec, settings: Settings) -> _Record:
    run = settings.home / "run"
    run.mkdir(parents=True, exist_ok=True)
    spec.log.parent.mkdir(parents=True, exist_ok=True)
    if spec.log.exists() and spec.log.stat().st_size > LOG_BYTES:
        spec.log.replace(spec.log.with_suffix(".previous"))
    token = secrets.token_hex(16)
    descriptor = os.open(spec.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # Not waited for: it outlives this command. _reap() collects it when it dies before us.
        child = subprocess.Popen(
            list(spec.argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            env={**os.environ, **spec.env, TOKEN_VARIABLE: token},
            cwd=spec.cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise ProcessError(
            f"{spec.name}: {error.filename} does not exist; install the project with `make up`"
        ) from None
    except OSError as error:
        raise ProcessError(f"{spec.name} cannot be started: {error}") from None
    finally:
        os.close(descriptor)
    try:
        created = psutil.Process(child.pid).create_time()
        record = _Record(spec.name, child.pid, created, token, spec.log)
        write_atomically(_file(spec.name, settings), json.dumps({**vars(record), "log": str(spec.log)}) + "\n")
    except BaseException:
        # Ctrl-C or a full disk right here: a process that nobody knows of must not stay.
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise
    child.returncode = 0  # silences the warning that it still runs when the object goes; _reap() does the waiting
    return record


def _await_ready(spec: ProcessSpec, record: _Record) -> bool:
    deadline = time.monotonic() + spec.deadline_seconds
    while record.leader() is not None:
        if spec.ready is None or spec.ready(record.pid):
            return record.leader() is not None
        if time.monotonic() >= deadline:
            return False
        time.sleep(READY_POLL_SECONDS)
    return False


def _status(record: _Record) -> ProcessStatus:
    leader = record.leader()
    return ProcessStatus(
        name=record.name,
        state="dead" if leader is None else "running",
        pid=None if leader is None else leader.pid,
        started_at=datetime.fromtimestamp(record.create_time, tz=UTC),
        log=record.log,
    )


def _file(name: str, settings: Settings) -> Path:
    return settings.home / "run" / f"{name}.json"


def _read(name: str, settings: Settings) -> _Record | None:
    path = _file(name, settings)
    try:
        content = json.loads(path.read_text())
        return _Record(
            name, int(content["pid"]), float(content["create_time"]), str(content["token"]), Path(content["log"])
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ProcessError(f"{path} is damaged: end the process {name!r} yourself, then remove the file") from None


def _token(process: psutil.Process) -> str | None:
    """Return the token in a process's environment, None where there is none or it may not be read."""
    try:
        return process.environ().get(TOKEN_VARIABLE)
    except (psutil.Error, OSError):
        return None


def _in_session(process: psutil.Process, leader: psutil.Process | None) -> bool:
    if leader is None:
        return False
    try:
        return os.getsid(process.pid) == leader.pid
    except OSError:
        return False


def _merge(one: list[psutil.Process], other: list[psutil.Process]) -> list[psutil.Process]:
    return list({process.pid: process for process in [*one, *other]}.values())


def _signal(processes: list[psutil.Process], how: signal.Signals) -> None:
    for process in processes:
        # psutil looks at the time of creation again: a process id given to somebody else is not signalled.
        with suppress(psutil.NoSuchProcess):
            process.send_signal(how)


def _reap(pid: int) -> bool:
    """Collect the exit status of a process that this one started, so that it does not stay as a zombie.

    Returns:
        Whether nothing is left to collect: it was collected now or before, or is no child of this process.
    """
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return "(no log)"
