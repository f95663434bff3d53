"""Whether files and ledger agree."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestration.migrations import Applied, LedgerError, Migration, ledger, plan


@pytest.fixture
def files(tmp_path: Path) -> list[Migration]:
    (tmp_path / "geo").mkdir()
    for name in ("001_a.sql", "002_b.apache.sql", "002_b.community.sql", "003_c.sql"):
        (tmp_path / "geo" / name).write_text(f"select '{name}';\n")
    return plan("geo", root=tmp_path)


def applied(*migrations: Migration) -> list[Applied]:
    when = datetime(2026, 3, 1, tzinfo=UTC)
    return [Applied(m.domain, m.version, m.name, m.checksum, when, 1) for m in migrations]


def test_what_is_not_in_the_ledger_remains(files: list[Migration]) -> None:
    first, apache, _, last = files
    assert ledger.remaining(files, [], "apache") == [first, apache, last]
    assert ledger.remaining(files, applied(first, apache), "apache") == [last]
    assert ledger.remaining(files, applied(first, apache, last), "apache") == []


def test_an_applied_file_that_was_edited_is_named(files: list[Migration], tmp_path: Path) -> None:
    before = applied(files[0])
    (tmp_path / "geo" / "001_a.sql").write_text("select 'edited';\n")
    with pytest.raises(LedgerError, match=r"sql/geo/001_a\.sql was edited after it was applied on 2026-03-01"):
        ledger.remaining(plan("geo", root=tmp_path), before, "apache")


def test_an_applied_file_that_is_missing_is_named(files: list[Migration]) -> None:
    with pytest.raises(LedgerError, match=r"sql/geo/003_c\.sql was applied on 2026-03-01 and is missing"):
        ledger.remaining(files[:3], applied(files[0], files[1], files[3]), "apache")


def test_a_number_skipped_in_the_ledger_is_named(files: list[Migration]) -> None:
    with pytest.raises(LedgerError, match=r"sql/geo/002_b\.apache\.sql was never applied, but number 003 was"):
        ledger.remaining(files, applied(files[0], files[3]), "apache")


def test_a_server_that_changed_its_edition_is_an_error(files: list[Migration]) -> None:
    with pytest.raises(LedgerError, match="this server is now the community edition"):
        ledger.remaining(files, applied(files[0], files[1]), "community")
