"""One local Redis process: its configuration, its data, its start and stop."""

import os
import re
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
from orchestration.realtime.stream_keys import DAMAGED
from orchestration.settings import Settings

# The last minutes of a cell and its queue. A ceiling: at it writes fail, nothing is evicted.
MAX_MEMORY_MB = 512

START_SECONDS = 60.0
# The checker reads 300 MB a second; a file is rewritten before it is twice its memory's limit.
CHECK_SECONDS = 120.0
# What a write that was not finished can leave: one script's commands. More is no torn end but a damaged file.
MOST_TORN_BYTES = 16 * 1024**2
STOP_SECONDS = 30.0
# Redis does not rotate its log; one that has grown beyond this is put aside at the next start.
LOG_BYTES = 5 * 1024**2

_ANALYZED = re.compile(r"AOF analyzed: filename=(\S+), size=(\d+), ok_up_to=(\d+)")

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
        self._binary = Path("redis-server")

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
        self._binary = binary
        running = self.process()
        mark = LogMark(self.logs, {})
        if running is None:
            self._prepare(password, report)
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

    @property
    def _damage_file(self) -> Path:
        """Noted beside the data until it stands in them: whoever starts Redis may be killed in between."""
        return self.directory / "torn"

    def _cut_torn_file(self, report: Report) -> None:
        """Have the server's own checker read the append-only file, and cut off, noted, what is not whole at its end.

        Redis would do so itself, say so in its log, and serve what is left as if that were all; and in the middle of a
        transaction it leaves the beginning of it in the file (7.0), where it swallows what is written next.

        Raises:
            EngineError: more is damaged than a write that was not finished: somebody has to look at it.
        """
        manifest = self.data / "appendonlydir" / "appendonly.aof.manifest"
        if not manifest.exists():
            return
        # The server's program is the checker when it is called so; a server without its tools has no file of that name.
        checker = self.data / "redis-check-aof"
        checker.unlink(missing_ok=True)
        checker.symlink_to(self._binary)
        try:
            result = self._user.run([checker, manifest], cwd=self.data, timeout=CHECK_SECONDS)
        finally:
            checker.unlink(missing_ok=True)
        if result.returncode != 0:
            self._cut(manifest, result.stdout)
            report(
                f"{self}: the end of its append-only file was torn: the stream of {self.name} is not processed before "
                f"`capstone stream recover --cell {self.name}`"
            )
        if self._damage_file.exists():
            self._mark_damaged(manifest)

    def _cut(self, manifest: Path, checked: str) -> None:
        if not self._damage_file.exists():
            write_atomically(self._damage_file, f"{time.time():.3f}\n")
        analyzed = _ANALYZED.findall(checked)
        name, size, whole = analyzed[-1] if analyzed else ("", "0", "0")
        if not name.endswith(".incr.aof") or int(size) - int(whole) > MOST_TORN_BYTES:
            raise EngineError(
                f"{self}: its append-only file in {manifest.parent} is damaged, and not only at its end: copy the "
                f"directory, cut the file with `redis-check-aof --fix {manifest}`, run `capstone up`, and then "
                f"`capstone stream recover --cell {self.name}`"
            )
        os.truncate(manifest.parent / Path(name).name, int(whole))

    def _mark_damaged(self, manifest: Path) -> None:
        """Write into the append-only file itself that it was torn: Redis never serves what is left without the mark.

        Told after its start, a processor could already have gone on with a queue that is not what it was.
        """
        noticed = self._damage_file.read_text().strip()
        words = ("SET", DAMAGED, noticed)
        command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        newest = [line.split()[1] for line in manifest.read_text().splitlines() if line.endswith("type i")][-1:]
        if not newest:
            raise EngineError(
                f"{self}: {manifest} names no file that is appended to: see `capstone stream recover --help`"
            )
        with (manifest.parent / newest[0]).open("ab") as file:
            file.write(command.encode())
            file.flush()
            os.fsync(file.fileno())
        self._damage_file.unlink()

    def _prepare(self, password: str, report: Report) -> None:
        for passage in (self.directory.parent, self.directory, self.logs.parent):
            home.passage(passage)
        home.own_directory(self.data, self._user, 0o700)
        home.own_directory(self.logs, self._user, 0o700)
        log = self.logs / "redis.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(self.logs / "redis.previous")
        self._cut_torn_file(report)
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
            # What a client was told is on the disk: an event that was accepted is not lost with the machine either. A
            # batch of 1,000 costs one write to the disk, half of what it costs without.
            f"appendfsync {'always' if self._durable else 'no'}",
            # A torn file is noted before it is cut, see _cut_torn_file.
            "aof-load-truncated no",
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
