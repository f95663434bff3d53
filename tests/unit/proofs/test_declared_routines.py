"""A function is declared by the last migration that makes it."""

import hashlib
from pathlib import Path

from orchestration.migrations.files import DOMAINS
from orchestration.proofs.declared_routines import declared_routines


def _md5(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def test_the_last_definition_counts_and_what_is_dropped_or_renamed_is_known_as_such(tmp_path: Path) -> None:
    for domain in DOMAINS:
        (tmp_path / domain).mkdir()
        if domain != "platform":
            (tmp_path / domain / "001_nothing.sql").write_text("select 1;")
    files = {
        "001_first.sql": "create function platform.a() returns int language sql as $$ select 1 $$;\n"
        "create function platform.b() returns int language sql return 1;\n"
        "create procedure platform.c() language plpgsql security definer as $x$ begin end $x$;",
        "002_second.sql": "create or replace function platform.a() returns int language sql as $$ select 2 $$;\n"
        "alter function platform.b() rename to d;\ndrop procedure platform.c();",
    }
    for name, text in files.items():
        (tmp_path / "platform" / name).write_text(text)
    found = {each.name: each for each in declared_routines(root=tmp_path)}
    assert set(found) == {"platform.a", "platform.d"}
    assert found["platform.a"].body == _md5(" select 2 ")
    assert found["platform.d"].body is None


def test_a_body_that_speaks_of_security_definer_is_none() -> None:
    declared = {each.name: each for each in declared_routines()}
    assert not declared["ecommerce.process_checkout"].definer
    assert declared["platform.refuse_snapshots_before_fence"].definer
