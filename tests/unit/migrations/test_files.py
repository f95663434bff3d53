"""Which files are migrations, and which directories cannot be applied."""

from pathlib import Path

import pytest

from orchestration.migrations import DOMAINS, MigrationFileError, plan


def write(root: Path, *names: str, domain: str = "geo") -> Path:
    (root / domain).mkdir(exist_ok=True)
    for name in names:
        (root / domain / name).write_text("select 1;\n")
    return root


def test_migrations_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write(tmp_path, "002_b.sql", "001_a.sql", "003_c.sql")
    assert [migration.version for migration in plan("geo", root=tmp_path)] == [1, 2, 3]


def test_a_server_gets_the_variant_of_its_edition(tmp_path: Path) -> None:
    write(tmp_path, "001_a.sql", "002_b.apache.sql", "002_b.community.sql")
    assert [migration.name for migration in plan("geo", "community", root=tmp_path)] == [
        "001_a.sql",
        "002_b.community.sql",
    ]
    assert len(plan("geo", root=tmp_path)) == 3


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["001_a.sql", "003_c.sql"], "number 002 is missing before 003_c.sql"),
        (["002_b.sql"], "number 001 is missing"),
        (["001_a.sql", "001_b.sql"], "number 001 is used twice, by 001_a.sql and 001_b.sql"),
        (["001_a.sql", "001_a.apache.sql"], "used twice"),
        (["001_a.apache.sql"], "no variant for the community edition"),
        (["001_a.apache.sql", "001_b.community.sql"], "must have the same name"),
        (["1_a.sql"], "1_a.sql: not a migration's name"),
        (["001_a.SQL"], "001_a.SQL: not a migration's name"),
        (["001-a.sql"], "001-a.sql: not a migration's name"),
        (["001_a.timescale.sql", "001_a.apache.sql"], "001_a.timescale.sql: not a migration's name"),
        (["001_a.sql", "notes.txt"], "notes.txt: not a migration's name"),
    ],
)
def test_a_gap_a_duplicate_or_a_bad_name_is_an_error_that_names_it(tmp_path: Path, names: list[str], said: str) -> None:
    write(tmp_path, *names)
    with pytest.raises(MigrationFileError) as error:
        plan("geo", root=tmp_path)
    assert said in str(error.value)


def test_the_platform_has_no_variants_for_it_installs_what_has_editions(tmp_path: Path) -> None:
    write(tmp_path, "001_a.apache.sql", "001_a.community.sql", domain="platform")
    with pytest.raises(MigrationFileError, match="for one edition"):
        plan("platform", root=tmp_path)


def test_an_empty_file_an_empty_or_missing_directory_and_other_encodings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(MigrationFileError, match="does not exist"):
        plan("geo", root=tmp_path)
    write(tmp_path)
    with pytest.raises(MigrationFileError, match="holds no migration"):
        plan("geo", root=tmp_path)
    (tmp_path / "geo" / "001_a.sql").write_text(" \n")
    with pytest.raises(MigrationFileError, match="empty"):
        plan("geo", root=tmp_path)
    (tmp_path / "geo" / "001_a.sql").write_bytes(b"select '\xff';")
    with pytest.raises(MigrationFileError, match="not UTF-8"):
        plan("geo", root=tmp_path)


def test_an_unknown_domain_is_an_error() -> None:
    with pytest.raises(MigrationFileError, match="unknown domain 'sales': one of platform, geo"):
        plan("sales")


def test_only_a_first_line_switches_the_transaction_off(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "geo" / "001_a.sql").write_text("-- no-transaction\nselect 1;\n")
    (tmp_path / "geo" / "002_b.sql").write_text("select 1;\n-- no-transaction\n")
    assert [migration.transactional for migration in plan("geo", root=tmp_path)] == [False, True]


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_shipped_files_are_in_order(domain: str) -> None:
    assert plan(domain)
