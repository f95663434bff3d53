"""One local Redis process: its configuration, its data, its start and stop."""

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from orchestration.cells.regions import Cell
from orchestration.engines import home, server_process
from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.errors import EngineError
from orchestration.engines.server_log import LogMark, explain
from orchestration.engines.server_user import ServerUser
from orchestration.settings import Settings

# The last minutes of a cell and its queue. A ceiling: at it writes fail, nothing is evicted.
MAX_MEMORY_MB = 512

START_SECONDS = 60.0
STOP_SECONDS = 30.0
# Redis does not rotate its log; one that has grown beyond this is put aside at the next start.
LOG_BYTES = 5 * 1024**2

Report = Callable[[str], None]


class RedisServer:
    """The Redis process of cell ``name`` of the platform in ``settings.home``; no two cells share one."""

    def __init__(self, name: Cell, settings: Settings, user: ServerUser, port: int, *, durable: bool = True) -> None:
        self.name = name
        self.port = port
        self.directory = settings.home / "redis" / name
        self.data = self.directory / "data"
        self.logs = settings.logs / f"redis_{name}"
        self._settings = settings
        self._user = user
        self._durable = durable
        self._configuration_file = self.directory / "redis.conf"

    def __str__(self) -> str:
        return f"Redis of {self.name}"

    def process(self) -> psutil.Process | None:
        """Return the running server, None when it is stopped."""
        # Before it has set its title the server's argument is the same file; the title is set by proc-title-template.
        found = server_process.find(
            self._user,
            "redis-server",
            lambda cmdline: " ".join(cmdline).rstrip().endswith(f" {self._configuration_file}"),
        )
        pids = {process.pid for process in found}
        for process in found:
            with suppress(psutil.Error):
                if process.ppid() not in pids:
                    return process
        return None

    def start(self, binary: Path, password: str, report: Report) -> None:
        """Start the server, unless it runs, and wait until it has read its data.

        Raises:
            EngineError: it does not come up; says why, from its log.
        """
        began = time.monotonic()
        running = self.process()
        mark = LogMark(self.logs, {})
        if running is None:
            self._prepare(password)
            mark = LogMark.now(self.logs)
            result = self._user.run([binary, self._configuration_file], cwd=self.data, timeout=START_SECONDS)
            if result.returncode != 0:
                raise explain(str(self), [*result.stdout.splitlines(), *mark.new_lines()], self.logs)
        self._await_ready(password, mark)
        if running is None:
            report(f"{self}: started on port {self.port} in {time.monotonic() - began:.1f} s")
        else:
            report(f"{self}: runs on port {self.port}")

    def stop(self, report: Report) -> None:
        """Stop the server, if it runs. It writes its append-only file to disk first."""
        began = time.monotonic()
        process = self.process()
        if process is None:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(how)
            if not server_process.wait_gone([process], STOP_SECONDS):
                report(f"{self}: stopped in {time.monotonic() - began:.1f} s")
                return
        raise EngineError(f"{self} (pid {process.pid}) does not stop: see {self.logs}")

    def client(self, password: str, timeout_seconds: float) -> redis.Redis:
        """Return a client that has not connected yet."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            password=password,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),  # whoever waits does so with a deadline of his own
        )

    def _prepare(self, password: str) -> None:
        for passage in (self.directory.parent, self.directory, self.logs.parent):
            home.passage(passage)
        home.own_directory(self.data, self._user, 0o700)
        home.own_directory(self.logs, self._user, 0o700)
        log = self.logs / "redis.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(self.logs / "redis.previous")
        # The password stands in this file and not in the command line, which every user of the machine can read.
        write_atomically(self._configuration_file, self._configuration(password), mode=0o600, owner=self._user.owner)

    def _configuration(self, password: str) -> str:
        lines = [
            "# Written at every start.",
            "bind 127.0.0.1",
            "protected-mode yes",
            f"port {self.port}",
            f"requirepass {password}",
            "daemonize yes",
            f'pidfile "{self.data}/redis.pid"',
            f'dir "{self.data}"',
            f'logfile "{self.logs}/redis.log"',
            "loglevel notice",
            'proc-title-template "{title} {listen-addr} {config-file}"',
            "databases 1",
            # The append-only file alone: a snapshot beside it would be a second, older truth.
            "appendonly yes",
            f"appendfsync {'everysec' if self._durable else 'no'}",
            'save ""',
            f"maxmemory {MAX_MEMORY_MB}mb",
            "maxmemory-policy noeviction",
        ]
        return "\n".join(lines) + "\n"

    def _await_ready(self, password: str, mark: LogMark) -> None:
        deadline = time.monotonic() + START_SECONDS
        with self.client(password, self._settings.connect_timeout_seconds) as client:
            while True:
                try:
                    answers_from = str(client.info("server")["config_file"])
                    break
                except redis.AuthenticationError:
                    raise EngineError(
                        f"{self}: what listens on port {self.port} refuses the password of secrets.json: "
                        "`capstone down`, and `capstone up` again"
                    ) from None
                except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
                    # Redis leaves its first process before it binds and reads its data: failures show only here.
                    if self.process() is None and self.process() is None:
                        raise explain(str(self), mark.new_lines(), self.logs) from None
                    if time.monotonic() > deadline:
                        raise EngineError(
                            f"{self} does not answer after {START_SECONDS:.0f} s: see {self.logs}"
                        ) from None
                    time.sleep(server_process.POLL_SECONDS)
        if answers_from != str(self._configuration_file):
            raise EngineError(f"{self}: another Redis ({answers_from}) listens on port {self.port}: stop it")
