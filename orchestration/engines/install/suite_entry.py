"""Where another Debian release's source packages come from: the place this machine's own packages come from.

apt's configuration is read in both of its formats, see sources.list(5). No mirror's name is known here, and nothing
that loosens apt's signature checking is carried over.
"""

import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestration.engines.install.errors import InstallError

APT_DIRECTORY = Path("/etc/apt")

# Options that say how a source is verified or reached. `Trusted` and the `Allow-` ones are left behind on purpose.
CARRIED_OPTIONS = {"signed-by": "Signed-By", "check-valid-until": "Check-Valid-Until", "check-date": "Check-Date"}


@dataclass(frozen=True)
class SourceEntry:
    """One source of binary packages.

    Attributes:
        uris: base addresses, as apt has them.
        suites: release names.
        components: main, contrib, …
        options: those of ``CARRIED_OPTIONS`` that are set, under their deb822 names; values may span lines.
    """

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()


def read_sources(directory: Path = APT_DIRECTORY) -> list[SourceEntry]:
    """Return every enabled source of binary packages that apt is configured with, in apt's order."""
    entries: list[SourceEntry] = []
    main = directory / "sources.list"
    parts = sorted((directory / "sources.list.d").glob("*"))
    for path in [main, *parts]:
        if not path.is_file():
            continue
        if path.suffix == ".list":
            entries.extend(parse_one_line(path.read_text(errors="replace")))
        elif path.suffix == ".sources":
            entries.extend(parse_deb822(path.read_text(errors="replace")))
    return entries


def parse_one_line(text: str) -> Iterator[SourceEntry]:
    """Yield the ``deb`` lines of a sources.list."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?([^#]+)", line)
        if match is None:
            continue
        words = match.group(2).split()
        if len(words) < 3:
            continue
        options = {}
        for option in shlex.split(match.group(1) or ""):
            key, _, value = option.partition("=")
            if key.lower() in CARRIED_OPTIONS:
                options[CARRIED_OPTIONS[key.lower()]] = value.replace(",", " ")
        yield SourceEntry((words[0],), (words[1],), tuple(words[2:]), tuple(options.items()))


def parse_deb822(text: str) -> Iterator[SourceEntry]:
    """Yield the enabled stanzas of a .sources file that have ``deb`` among their types."""
    for stanza in re.split(r"\n[ \t]*\n", text):
        fields: dict[str, str] = {}
        key = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1] in {" ", "\t"}:
                if key:
                    fields[key] += f"\n{line}"
            elif ":" in line:
                key, _, value = line.partition(":")
                key = key.strip().lower()
                fields[key] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false", "0"}:
            continue
        yield SourceEntry(
            tuple(fields.get("uris", "").split()),
            tuple(fields.get("suites", "").split()),
            tuple(fields.get("components", "").split()),
            tuple((CARRIED_OPTIONS[name], value) for name, value in fields.items() if name in CARRIED_OPTIONS),
        )


def debian_uris(codename: str) -> set[str]:
    """Return the addresses whose signed release file says that they are Debian's own ``codename``.

    A third party may well have a suite of the same name; only the release file tells them apart.
    """
    result = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN)\t$(CODENAME)\t$(REPO_URI)", "Created-By: Packages"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    rows = (line.split("\t") for line in result.stdout.splitlines())
    return {row[2].rstrip("/") for row in rows if len(row) == 3 and row[:2] == ["Debian", codename]}


def debian_entry(entries: Iterable[SourceEntry], codename: str, uris: set[str]) -> SourceEntry:
    """Return the machine's source of Debian's own ``codename``.

    Args:
        entries: apt's sources.
        codename: the installed release.
        uris: addresses known to be Debian's; when empty, any source of ``codename`` with main will do.

    Raises:
        InstallError: there is none.
    """
    for entry in entries:
        known = not uris or any(uri.rstrip("/") in uris for uri in entry.uris)
        # A frozen image may call its suite by its role, stable or oldstable; its release file has the codename.
        named = codename in entry.suites or (bool(uris) and {"stable", "oldstable"} & set(entry.suites))
        usable = [uri for uri in entry.uris if not uri.startswith(("cdrom:", "file:", "copy:"))]
        if known and named and usable and "main" in entry.components:
            return SourceEntry(tuple(usable), entry.suites, entry.components, entry.options)
    raise InstallError(
        f"apt has no network source of Debian {codename} (component main) in /etc/apt/sources.list or "
        "/etc/apt/sources.list.d: add one, see sources.list(5), and run this again"
    )


def source_stanza(entry: SourceEntry, suite: str) -> str:
    """Return the deb822 stanza for the source packages of ``suite`` at the place of ``entry``."""
    lines = ["Types: deb-src", f"URIs: {' '.join(entry.uris)}", f"Suites: {suite}", "Components: main"]
    lines += [f"{name}: {value}" for name, value in entry.options]
    return "\n".join(lines) + "\n"
