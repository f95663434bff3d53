from pathlib import Path

import pytest

from orchestration.engines.install.errors import InstallError
from orchestration.engines.install.suite_entry import (
    SourceEntry,
    debian_entry,
    parse_deb822,
    parse_one_line,
    read_sources,
    source_stanza,
)

DEB822 = """\
# The distribution
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
Trusted: yes

Types: deb
URIs: http://other.test/debian
Suites: bookworm
Components: main
Enabled: no
"""

ONE_LINE = """\
# deb http://commented.test/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb [arch=amd64 signed-by=/etc/keys/a.gpg,/etc/keys/b.gpg trusted=yes] http://mirror.test/debian/ bookworm main # x
deb-src http://mirror.test/debian bookworm main
"""


def test_a_deb822_source_keeps_its_keys_and_loses_its_blind_trust() -> None:
    (entry,) = parse_deb822(DEB822)
    assert entry.suites == ("bookworm", "bookworm-updates")
    stanza = source_stanza(debian_entry([entry], "bookworm", set()), "trixie")
    assert stanza == (
        "Types: deb-src\nURIs: http://mirror.test/debian\nSuites: trixie\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
    )


def test_a_one_line_source_keeps_its_keys_and_loses_its_blind_trust() -> None:
    entries = list(parse_one_line(ONE_LINE))
    stanza = source_stanza(debian_entry(entries, "bookworm", set()), "trixie")
    assert "URIs: http://mirror.test/debian/\n" in stanza
    assert "Signed-By: /etc/keys/a.gpg /etc/keys/b.gpg\n" in stanza
    assert "rusted" not in stanza
    assert "cdrom" not in stanza


def test_a_key_that_is_written_into_the_source_survives_with_its_line_breaks() -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----"
    (entry,) = parse_deb822(f"Types: deb\nURIs: http://m.test/d\nSuites: bookworm\nComponents: main\nSigned-By:{key}\n")
    assert f"Signed-By: {key}\n" in source_stanza(entry, "trixie")


def test_a_third_partys_suite_of_the_same_name_is_not_taken_for_debian() -> None:
    third = SourceEntry(("http://third.test/debian",), ("bookworm",), ("main",))
    debian = SourceEntry(("http://mirror.test/debian",), ("bookworm",), ("main",))
    assert debian_entry([third, debian], "bookworm", {"http://mirror.test/debian"}) == debian


def test_a_source_that_names_its_suite_by_role_is_recognised_by_its_release_file() -> None:
    entry = SourceEntry(("http://mirror.test/debian/",), ("oldstable",), ("main",))
    assert debian_entry([entry], "bookworm", {"http://mirror.test/debian"}) == entry


@pytest.mark.parametrize(
    "entry",
    [
        SourceEntry(("http://mirror.test/debian",), ("bookworm-security",), ("main",)),
        SourceEntry(("http://mirror.test/debian",), ("bookworm",), ("contrib",)),
        SourceEntry(("file:/srv/debian",), ("bookworm",), ("main",)),
    ],
)
def test_without_a_usable_source_the_error_says_where_to_add_one(entry: SourceEntry) -> None:
    with pytest.raises(InstallError, match=r"no network source of Debian bookworm.*sources\.list"):
        debian_entry([entry], "bookworm", set())


def test_both_formats_are_read_and_other_files_are_not(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://one.test/debian bookworm main\n")
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(DEB822)
    (parts / "old.list.save").write_text("deb http://saved.test/debian bookworm main\n")
    uris = [uri for entry in read_sources(tmp_path) for uri in entry.uris]
    assert uris == ["http://one.test/debian", "http://mirror.test/debian"]
