"""One local PostgreSQL cluster: its data directory, its process, and what may have befallen either."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress

import psutil

from orchestration.cells.endpoints import LOCAL_SUPERUSER
from orchestration.cells.regions import Cluster
from orchestration.engines import home, server_process
from orchestration.engines.atomic_file import sync_directory, write_atomically
from orchestration.engines.binaries import PostgresBinaries
from orchestration.engines.errors import DiskFullError, EngineError
from orchestration.engines.postgres_configuration import HBA, LOCAL_CONFIGURATION, configuration
from orchestration.engines.server_log import LogMark, explain
from orchestration.engines.server_user import ServerUser
from orchestration.settings import Settings

# A new cluster is 40 MB, its log another 32; the rest is room for the first load to fail cleanly in.
NEW_CLUSTER_BYTES = 256 * 1024**2
# Below this a running server would stop at its next checkpoint.
RUNNING_BYTES = 32 * 1024**2

INITDB_SECONDS = 120.0
# Replaying the log after a crash takes as long as writing 1 GB of it (max_wal_size) took, at worst.
START_SECONDS = 300.0
STOP_SECONDS = 60.0
# Backends notice within milliseconds that their postmaster is gone, unless they are busy.
ORPHAN_SECONDS = 10.0
# A start takes less than this, unless there is a crash to recover from.
PATIENCE_SECONDS = 5.0

# Prefix of the file that tells initdb the superuser's password; it lives only as long as initdb runs.
PASSWORD_FILE = ".password."  # noqa: S105 -- a name, not a password

Report = Callable[[str], None]


class PostgresServer:
    """The cluster ``name`` of the platform in ``settings.home``.

    Configuration lies in a directory that the server may read and not write; data/ below it is the server's own.
    """

    def __init__(self, name: Cluster, settings: Settings, user: ServerUser, port: int, *, durable: bool = True) -> None:
        self.name = name
        self.port = port
        self.directory = settings.home / "postgres" / name
        self.data = self.directory / "data"
        self.logs = settings.logs / f"postgres_{name}"
        self._settings = settings
        self._user = user
        self._durable = durable
        self._cluster_name = f"capstone_{name}_{home.digest(settings.home)}"

    def __str__(self) -> str:
        return f"PostgreSQL of {self.name}"

    def major_of_data(self) -> int | None:
        """Return the PostgreSQL version that made the data directory, None when there is none.

        Raises:
            EngineError: the directory holds something that is not a complete cluster.
        """
        if not self.data.is_dir() or not any(self.data.iterdir()):
            return None
        try:
            if not (self.data / "global" / "pg_control").is_file():
                raise FileNotFoundError
            return int((self.data / "PG_VERSION").read_text())
        except (FileNotFoundError, ValueError):
            raise EngineError(
                f"{self.data} is not a complete PostgreSQL cluster (PG_VERSION or global/pg_control is missing): "
                "restore it from a backup, or `capstone down --destroy` and begin anew"
            ) from None

    def process(self) -> psutil.Process | None:
        """Return the running postmaster, None when the cluster is stopped."""
        command = ["-D", str(self.directory)]
        found = server_process.find(self._user, "postgres", lambda cmdline: cmdline[1:3] == command)
        pids = {process.pid for process in found}
        for process in found:
            # A new child shows its parent's command line until it has set its own title.
            with suppress(psutil.Error):
                if process.ppid() not in pids:
                    return process
        return None

    def make(self, binaries: PostgresBinaries, password: str, report: Report) -> None:
        """Make the data directory, unless there is one.

        It is made under another name and renamed when it is complete: what a crash left half made is thrown away.

        Raises:
            EngineError: initdb failed; says why.
            DiskFullError: there is no room for it.
        """
        unfinished = self.directory / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
            report(f"{self}: discarded a data directory that was never finished")
        for forgotten in self.directory.glob(f"{PASSWORD_FILE}*"):
            forgotten.unlink()
        if self.major_of_data() is not None:
            return
        self._require_space(NEW_CLUSTER_BYTES)
        began = time.monotonic()
        home.passage(self.directory.parent)
        home.passage(self.directory)
        home.own_directory(unfinished, self._user, 0o700)
        with tempfile.NamedTemporaryFile("w", dir=self.directory, prefix=PASSWORD_FILE) as file:
            file.write(password + "\n")
            file.flush()
            if self._user.owner is not None:
                shutil.chown(file.name, *self._user.owner)
            result = self._user.run(
                [
                    binaries.initdb, "-D", unfinished, "-U", LOCAL_SUPERUSER, f"--pwfile={file.name}",
                    "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--data-checksums",
                    *([] if self._durable else ["--no-sync"]),
                ],
                cwd=self.directory,
                timeout=INITDB_SECONDS,
            )  # fmt: skip
        if result.returncode != 0:
            raise explain(f"{self} (initdb)", result.stdout.splitlines(), self.directory)
        # Not read (config_file lies outside), and confusing beside the ones that are.
        for unused in ("postgresql.conf", "pg_hba.conf"):
            (unfinished / unused).unlink()
        if self.data.is_dir():
            self.data.rmdir()
        unfinished.rename(self.data)
        sync_directory(self.directory)
        report(f"{self}: made a new cluster in {time.monotonic() - began:.1f} s")

    def start(self, binaries: PostgresBinaries, report: Report) -> None:
        """Start the server, unless it runs, and wait until it takes connections.

        Raises:
            EngineError: it does not come up; says why, from its log.
            DiskFullError: there is no room for it to run in.
        """
        began = time.monotonic()
        if self.process() is not None:
            self._await_ready(LogMark.now(self.logs), report)
            report(f"{self}: runs on port {self.port}")
            return
        self._require_space(RUNNING_BYTES)
        self._clear_remains(report)
        home.passage(self.logs.parent)
        home.own_directory(self.logs, self._user, 0o700)
        startup = self.logs / "startup.log"
        startup.unlink(missing_ok=True)
        self._configure()
        mark = LogMark.now(self.logs)
        result = self._user.run(
            [binaries.pg_ctl, "-D", self.directory, "-l", startup, "-w", "-t", f"{PATIENCE_SECONDS:.0f}", "start"],
            cwd=self.directory,
            timeout=START_SECONDS,
        )
        # Not up within that time is no failure yet: pg_ctl has left the server to its recovery.
        if result.returncode != 0 and self.process() is None:
            raise explain(str(self), [*result.stdout.splitlines(), *mark.new_lines()], self.logs)
        self._await_ready(mark, report)
        report(f"{self}: started on port {self.port} in {time.monotonic() - began:.1f} s")

    def stop(self, report: Report) -> None:
        """Stop the server, if it runs: at first disconnecting its clients, after a minute without a checkpoint."""
        began = time.monotonic()
        postmaster = self.process()
        if postmaster is None:
            self._end_orphans()
            return
        for how in (signal.SIGINT, signal.SIGQUIT):
            with suppress(psutil.NoSuchProcess):
                postmaster.send_signal(how)
            if not server_process.wait_gone([postmaster], STOP_SECONDS):
                self._end_orphans()
                report(f"{self}: stopped in {time.monotonic() - began:.1f} s")
                return
        raise EngineError(f"{self} (pid {postmaster.pid}) does not stop: see {self.logs}")

    def is_ready(self) -> bool:
        """Tell whether the running server takes connections, from the status line that it keeps in its pid file."""
        postmaster = self.process()
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A killed server has left its "ready" behind: the file counts only when it is this process's.
        return (
            postmaster is not None
            and len(lines) > 7
            and lines[0] == str(postmaster.pid)
            and lines[7].strip() == "ready"
        )

    def _configure(self) -> None:
        """Write the configuration that this version of the project wants."""
        text = configuration(
            self.name,
            directory=self.directory,
            port=self.port,
            sockets=home.sockets_directory(self._settings, self._user),
            logs=self.logs,
            cluster_name=self._cluster_name,
            durable=self._durable,
        )
        wanted = {"postgresql.conf": text, "pg_hba.conf": HBA, "pg_ident.conf": "# No user maps.\n"}
        local = self.directory / LOCAL_CONFIGURATION
        if not local.exists():
            wanted[LOCAL_CONFIGURATION] = "# Settings of your own, kept by every start.\n"
        for name, content in wanted.items():
            path = self.directory / name
            if not path.exists() or path.read_text() != content:
                write_atomically(path, content, mode=0o644)

    def _await_ready(self, mark: LogMark, report: Report) -> None:
        if self.is_ready():
            return
        report(f"{self}: recovering, which takes minutes when much was written before the crash")
        if not server_process.wait_until(lambda: self.is_ready() or self.process() is None, START_SECONDS):
            raise EngineError(f"{self} takes no connections after {START_SECONDS:.0f} s: see {self.logs}")
        if not self.is_ready():
            raise explain(str(self), mark.new_lines(), self.logs)

    def _require_space(self, needed: int) -> None:
        place = next(path for path in (self.directory, *self.directory.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if free < needed:
            raise DiskFullError(
                f"{self} needs {needed // 1024**2} MB of free space in {place}, but there are {free // 1024**2} MB: "
                "free some space and run `capstone up` again"
            )

    def _clear_remains(self, report: Report) -> None:
        """Clear away what a killed server left behind. Nothing of this cluster runs when this returns."""
        self._end_orphans()
        sockets = home.sockets_path(self._settings)
        for lock in (self.data / "postmaster.pid", sockets / f".s.PGSQL.{self.port}.lock"):
            try:
                first, *_ = lock.read_text().splitlines()
                pid = int(first)
            except FileNotFoundError:
                continue
            except ValueError:
                # Cut short by a full disk or a crash: PostgreSQL would refuse it as bogus.
                lock.unlink()
                continue
            # PostgreSQL itself clears a lock whose process is dead, and checks the shared memory as it does so. What
            # it cannot know is that the process with this id is another one by now, after a reboot for instance, or
            # a zombie that nobody has collected yet.
            if psutil.pid_exists(pid):
                lock.unlink(missing_ok=True)
                if server_process.is_alive(pid):
                    report(f"{self}: cleared {lock.name}, its process {pid} is another one by now")

    def _end_orphans(self) -> None:
        """See to it that no backend outlives its postmaster: it would write beside the next one's."""
        title = f"postgres: {self._cluster_name}: "
        orphans = server_process.find(self._user, "postgres", lambda cmdline: " ".join(cmdline).startswith(title))
        orphans = server_process.wait_gone(orphans, ORPHAN_SECONDS)
        for how in (signal.SIGQUIT, signal.SIGKILL):
            for process in orphans:
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(how)
            orphans = server_process.wait_gone(orphans, ORPHAN_SECONDS)
        if orphans:
            raise EngineError(f"process {orphans[0].pid} of {self} cannot be ended: end it and run `capstone up` again")
