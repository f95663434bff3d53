"""How whoever starts a stream processor learns that it works: it leaves its process id in a file."""

from pathlib import Path

from orchestration.cells.regions import Cell
from orchestration.engines.atomic_file import write_atomically
from orchestration.settings import Settings


def mark_file(cell: Cell, settings: Settings) -> Path:
    """Return the file of the processor of ``cell``."""
    return settings.home / "run" / f"stream_{cell}.serving"


def mark_serving(cell: Cell, settings: Settings, pid: int) -> None:
    """Note that process ``pid`` has looked at the stream of ``cell`` and does not refuse it."""
    mark_file(cell, settings).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(mark_file(cell, settings), f"{pid}\n")


def is_serving(cell: Cell, settings: Settings, pid: int) -> bool:
    """Return whether process ``pid`` has noted so: a mark that another one left behind says nothing of it."""
    try:
        return int(mark_file(cell, settings).read_text()) == pid
    except (OSError, ValueError):
        return False
