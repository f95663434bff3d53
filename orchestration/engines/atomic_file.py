"""Writing a file so that a reader, or a crash, sees either the old content or the new, never half of it."""

import os
import tempfile
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make renames and new names in ``directory`` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str, *, mode: int = 0o600, owner: tuple[int, int] | None = None) -> None:
    """Replace ``path`` by ``content``.

    Args:
        path: the file; its directory exists.
        content: text, written as UTF-8.
        mode: permission bits; the default keeps everybody else out. Set before the content is written.
        owner: (uid, gid) to give the file to; only root may.
    """
    # mkstemp makes its file 0600 under a name nobody can have prepared, so a secret is never readable in between.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
