"""What a server's own log says about why it did not start, in one sentence that names the way out."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.errors import DiskFullError, EngineError, MissingEngineError, PortTakenError

# How much of the end of a log is searched for the reason, in bytes.
TAIL_BYTES = 64 * 1024

# With less than this free, in bytes, a failure is put down to the full disk.
FULL_BYTES = 1024**2


@dataclass(frozen=True)
class LogMark:
    """Where the logs in a directory ended at a moment: what comes after it belongs to the start that followed."""

    directory: Path
    sizes: dict[Path, int]

    @classmethod
    def now(cls, directory: Path) -> "LogMark":
        """Remember the present ends of the ``*.log`` files in ``directory``."""
        return cls(directory, {path: path.stat().st_size for path in directory.glob("*.log")})

    def new_lines(self) -> list[str]:
        """Return the lines written since, at most ``TAIL_BYTES`` of each file, the startup log's last."""
        lines: list[str] = []
        for path in sorted(self.directory.glob("*.log")):
            size = path.stat().st_size
            before = self.sizes.get(path, 0)
            start = max(before if before <= size else 0, size - TAIL_BYTES)
            with path.open("rb") as file:
                file.seek(start)
                lines += file.read().decode(errors="replace").splitlines()
        return lines


def explain(what: str, lines: list[str], log: Path) -> EngineError:
    """Return the error that tells why ``what`` did not start.

    Args:
        what: "PostgreSQL of na", "Redis of eu".
        lines: what its log says.
        log: where to read more.
    """
    text = "\n".join(lines)
    # A disk so full that the log could not be written either: then the log says nothing of it.
    if "No space left on device" in text or shutil.disk_usage(log).free < FULL_BYTES:
        return DiskFullError(
            f"{what} did not start: the disk of {log} or of its data is full (No space left on device); "
            "free some space and run `capstone up` again"
        )
    if "Address already in use" in text:
        return PortTakenError(f"{what} did not start: its port is taken; stop what listens there, details in {log}")
    if 'could not access file "timescaledb' in text:
        return MissingEngineError(
            f"{what} did not start: TimescaleDB is not installed for this PostgreSQL; "
            "run `make up`, or see `capstone doctor`"
        )
    if "Cannot allocate memory" in text or "could not map anonymous shared memory" in text:
        return EngineError(f"{what} did not start: the machine has not enough free memory; details in {log}")
    reason = next(
        (line for line in reversed(lines) if any(word in line for word in ("PANIC", "FATAL", "ERROR", "# "))),
        lines[-1] if lines else "it said nothing",
    )
    return EngineError(f"{what} did not start: {reason.strip()}; details in {log}")
