"""Files searched for people byte by byte and through what is packed, and files that belong to no registered store."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from orchestration.cells.regions import CELLS
from orchestration.cells.stores import Store
from orchestration.proofs.residency import marks, packed_files
from orchestration.settings import Settings

# Read and searched at once: bounds the memory, whatever the size of the file.
BLOCK_BYTES = 4 * 1024 * 1024

# What is being written and renamed when it is whole (atomic files, generated docs) has a hidden name until then. Left
# by a killed process, it is a stray after this many seconds.
UNFINISHED_SECONDS = 900


@dataclass(frozen=True)
class FileFound:
    """A file, below the state directory, and the digests of what may be somebody in it or its name.

    ``problem``: why it could not be looked into, or not wholly.
    """

    path: str
    digests: frozenset[str] = frozenset()
    problem: str | None = None


def search_files(home: Path, roots: Iterable[Path], salt: str, *, with_addresses: bool = True) -> list[FileFound]:
    """Search all files below ``roots``, in names and contents; a file that ends meanwhile is passed over.

    Links are not followed but told: what they lead to is somewhere else.

    Args:
        home: the state directory, from which paths are told.
        roots: files and directories.
        salt: of the digests.
        with_addresses: whether e-mail addresses are looked for too, and not only canaries.
    """
    found = []
    for root in roots:
        for path in _files(root):
            shown = str(path.relative_to(home)) if path.is_relative_to(home) else str(path)
            named = marks.digests(salt, shown.encode(), with_addresses=with_addresses)
            if named:
                # Its name is a value of somebody.
                shown = f"{path.parent.relative_to(home)}/*" if path.is_relative_to(home) else "*"
            if path.is_symlink():
                found.append(FileFound(shown, problem="is a link"))
                continue
            try:
                held, problem = _search(path, salt, with_addresses=with_addresses)
            except FileNotFoundError:
                continue
            if held or named or problem is not None:
                found.append(FileFound(shown, frozenset(held | named), problem))
    return found


def stray_files(registered: Iterable[Store], settings: Settings) -> list[str]:
    """Return what lies in the state directory and belongs to no registered store of files; see :func:`strays`.

    Raises:
        OSError: a directory cannot be walked.
    """
    of_files = (store for store in registered if store.medium == "files")
    return strays(settings.home, [path for store in of_files for cell in CELLS for path in store.paths(cell, settings)])


def strays(home: Path, known: Iterable[Path]) -> list[str]:
    """Return what lies in the state directory and in no place of a store, as far down as it takes to say so."""
    places = frozenset(known)
    above = {parent for place in places for parent in place.parents if parent.is_relative_to(home)}
    found: list[str] = []

    def walk(directory: Path) -> None:
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except FileNotFoundError:
            return
        for entry in entries:
            path = Path(entry.path)
            if path in places:
                continue
            if path in above and entry.is_dir(follow_symlinks=False):
                walk(path)
                continue
            if entry.name.startswith(".") and _is_new(entry):
                continue
            # Its name may be a value of somebody.
            name = "*" if marks.digests("", entry.name.encode()) else entry.name
            found.append(str(path.parent.relative_to(home) / name))

    walk(home)
    return found


def _is_new(entry: "os.DirEntry[str]") -> bool:
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime < UNFINISHED_SECONDS
    except FileNotFoundError:
        return True


def _files(root: Path) -> Iterator[Path]:
    if root.is_symlink() or root.is_file():
        yield root
        return
    for directory, names, files in os.walk(root, onerror=_raise_unless_gone):
        for name in [*files, *names]:
            path = Path(directory, name)
            # A link to a directory too; sockets and pipes hold nothing.
            if path.is_symlink() or path.is_file():
                yield path


def _raise_unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _search(path: Path, salt: str, *, with_addresses: bool) -> tuple[set[str], str | None]:
    """Return the digests of what may be somebody in a file, and why it could not be looked into wholly, if so."""
    held: set[str] = set()
    left = packed_files.MOST_UNPACKED_BYTES
    try:
        with path.open("rb") as file:
            for layer in packed_files.layers(file):
                for block in _blocks(layer, overlap=marks.LONGEST_ADDRESS if with_addresses else marks.LONGEST):
                    held |= marks.digests(salt, block, with_addresses=with_addresses)
                    left -= len(block) if layer is not file else 0
                    if left < 0:
                        return held, "unpacks to more than is looked into"
    except FileNotFoundError:
        raise
    except packed_files.NotLookedIntoError as error:
        return held, str(error)
    except OSError as error:
        return held, error.strerror or type(error).__name__
    except packed_files.UNREADABLE as error:
        return held, type(error).__name__
    return held, None


def _blocks(file: IO[bytes], *, overlap: int) -> Iterator[bytes]:
    """Yield a file's content in blocks that overlap, so that nothing that long is cut in all of them."""
    before = b""
    while block := file.read(BLOCK_BYTES):
        content = before + block
        yield content
        before = content[-overlap:]
