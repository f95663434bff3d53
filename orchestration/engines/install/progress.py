"""Numbered steps that say what they do, how far they are and how long they took; each keeps its output in a file."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from orchestration.engines.install.errors import StepFailedError

POLL_SECONDS = 0.1
# A terminal's line is rewritten in place; a log file or a CI page gets a line only this often.
REFRESH_SECONDS = 1.0
HEARTBEAT_SECONDS = 15.0
# How long an interrupted child may take to leave its files in order before it is killed.
GRACE_SECONDS = 20.0
LIVE_LINE_WIDTH = 100


class StepLog:
    """One step at work: runs commands, with their output in the step's log file."""

    def __init__(self, title: str, path: Path, out: TextIO) -> None:
        self.title = title
        self.path = path
        self._out = out
        self._began = time.monotonic()
        self._shown = self._began

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def note(self, text: str) -> None:
        """Write one line into the log."""
        with self.path.open("a") as log:
            log.write(f"{text}\n")

    def run(self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        """Run a command to its end.

        Raises:
            StepFailedError: it cannot be started, or ends with anything but 0.
        """
        self.note(f"$ {' '.join(argv)}")
        with self.path.open("a") as log:
            try:
                child = subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=env, cwd=cwd
                )
            except OSError as error:
                raise StepFailedError(self.title, f"{argv[0]} cannot be run: {error.strerror}", self.path) from None
            try:
                while child.poll() is None:
                    self._show()
                    time.sleep(POLL_SECONDS)
            except BaseException:
                _end(child)
                raise
        if child.returncode != 0:
            raise StepFailedError(self.title, f"`{_in_short(argv)}` ended with {child.returncode}", self.path)

    def _show(self) -> None:
        now = time.monotonic()
        live = self._out.isatty()
        if now - self._shown < (REFRESH_SECONDS if live else HEARTBEAT_SECONDS):
            return
        self._shown = now
        line = f"      {self.seconds:3.0f} s  {_last_line(self.path)}"[:LIVE_LINE_WIDTH]
        self._out.write(f"\r\033[K{line}" if live else f"{line}\n")
        self._out.flush()


class Progress:
    """The steps of one set-up."""

    def __init__(self, logs: Path, total: int, *, first: int = 1, out: TextIO | None = None) -> None:
        """Count from ``first`` to ``total``; logs go to ``logs``, one file per step."""
        self._logs = logs
        self.total = total
        self._next = first
        self._out = out or sys.stdout
        logs.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, title: str) -> Iterator[StepLog]:
        """Announce a step, run the block, and say how long it took."""
        number, self._next = self._next, self._next + 1
        words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
        path = self._logs / f"{words}.log"
        path.write_text("")
        self._out.write(f"[{number}/{self.total}] {title}\n")
        self._out.flush()
        log = StepLog(title, path, self._out)
        try:
            yield log
        except BaseException:
            self._clear_live_line()
            raise
        self._clear_live_line()
        self._out.write(f"      done in {log.seconds:.1f} s\n")
        self._out.flush()

    def skip(self, count: int) -> None:
        """Leave out the numbers of steps that another process has done."""
        self._next += count

    def _clear_live_line(self) -> None:
        if self._out.isatty():
            self._out.write("\r\033[K")


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _in_short(argv: Sequence[str]) -> str:
    """Return a command without its settings, which its log has in full."""
    words = [word for before, word in zip(["", *argv], argv, strict=False) if "-o" not in {before, word}]
    return " ".join(words)


def _last_line(path: Path) -> str:
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 2000))
        lines = [line for line in re.split(rb"[\r\n]+", log.read()) if line.strip()]
    return lines[-1].decode(errors="replace").strip() if lines else ""
