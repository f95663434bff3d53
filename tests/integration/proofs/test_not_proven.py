"""What cannot be asked is never taken for what holds: verdict error, exit 2, the gate closed."""

import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from orchestration.cells import endpoints, routing
from orchestration.cells.relations import load_relations
from orchestration.proofs import proof as proof_module
from orchestration.proofs.attacks import attack
from orchestration.proofs.gate import gate_state
from orchestration.proofs.proof import LOCK_KEY, Proof
from orchestration.proofs.verify import verify
from orchestration.quality.data_docs import DataDocs
from orchestration.quality.suite import Rule, Suite
from orchestration.quality.validation import Session, validate

if TYPE_CHECKING:
    from tests.integration.proofs.conftest import ProofCells


def test_an_exception_inside_one_rule_is_an_error_and_no_success(world: "ProofCells") -> None:
    rules = (
        Rule("broken", "Cannot be asked", "", "select 'x' as object, 1 / 0 as offenders"),
        Rule("holds", "Holds", "", "select 'x' as object, 1 as offenders where false"),
    )
    dsn = endpoints.dsn("na", "auditor", settings=world.settings)
    [result] = validate([Suite("demo", "Demo", rules)], dsn, source="cell na")
    assert [(r.rule, r.status, r.error) for r in result.rules] == [
        ("broken", "error", "DivisionByZero"),
        ("holds", "passed", None),
    ]
    assert result.verdict == "error"


def test_a_rule_cannot_change_what_it_judges(world: "ProofCells") -> None:
    rule = Rule(
        "writes",
        "Writes",
        "",
        "with gone as (delete from platform.proofs returning 1) select 'x' as object, 1 as offenders from gone",
    )
    [result] = validate(
        [Suite("demo", "Demo", (rule,))], endpoints.dsn("na", "auditor", settings=world.settings), source="cell na"
    )
    assert result.verdict == "error"


def test_a_proof_that_saw_no_own_rows_is_an_error_and_not_green(world: "ProofCells") -> None:
    # Everything is refused where nobody sees anything; a restrictive policy opens nothing, so that no rule is broken.
    plant = "create policy nobody on ecommerce.orders as restrictive using (false)"
    with world.planted("na", plant, "drop policy nobody on ecommerce.orders"):
        verification = verify("isolation", ["na"], settings=world.settings)
    [proof] = verification.proofs
    assert proof.verdict == "error"
    assert verification.exit_code == 2
    assert any(error.startswith("own_rows_are_seen: ecommerce.orders") for error in proof.errors)
    assert world.newest("tenant_isolation")[0] == "error"
    assert "could not be proven" in str(world.refused("na"))


def test_an_auditor_under_row_security_proves_nothing(world: "ProofCells") -> None:
    with world.planted("na", "alter role auditor nobypassrls", "alter role auditor bypassrls"):
        verification = verify("isolation", ["na"], settings=world.settings)
    assert verification.exit_code == 2
    assert "subject to row security" in verification.proofs[0].errors[0]


def test_an_unreachable_cell_is_exit_2_and_the_others_are_proven(world: "ProofCells") -> None:
    gone = world.settings.model_copy(update={"dsn_na": SecretStr("postgresql://postgres:x@127.0.0.1:1/na")})
    verification = verify("residency", ["na", "eu"], settings=gone)
    assert [(p.cell, p.verdict, p.recorded) for p in verification.proofs] == [
        ("na", "error", False),
        ("eu", "green", True),
    ]
    assert verification.exit_code == 2
    assert json.loads(json.dumps(verification.as_json()))["exit_code"] == 2


def test_any_exception_is_recorded_as_an_error(world: "ProofCells", monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("m4rk3r-secret")

    monkeypatch.setattr(proof_module, "validate", explode)
    proofs = world.prove("na")
    assert {proof.suite: proof.verdict for proof in proofs} == {"tenant_isolation": "error", "geo_residency": "error"}
    assert proofs[0].errors == ("ZeroDivisionError",)
    assert world.newest("geo_residency")[0] == "error"
    assert "m4rk3r" not in json.dumps(world.newest("geo_residency"))


def test_a_catalog_that_changes_all_the_time_is_not_proven(
    world: "ProofCells", monkeypatch: pytest.MonkeyPatch
) -> None:
    real = validate

    def change(*args: object, **kwargs: object) -> object:
        world.execute("na", f"create table public.stray_{uuid4().hex[:8]} (x int)")
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(proof_module, "validate", change)
    try:
        proofs = world.prove("na", ["geo_residency"])
    finally:
        for (name,) in world.rows("na", "select relname from pg_class where relname like 'stray_%' and relkind = 'r'"):
            world.execute("na", f"drop table public.{name}")
    assert proofs[0].verdict == "error"
    assert "changed during 2 proofs" in proofs[0].errors[0]


def test_two_proofs_of_a_cell_take_turns(world: "ProofCells", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof_module, "LOCK_WAIT_SECONDS", 0)
    with routing.connect("na", "auditor", autocommit=True, settings=world.settings) as other:
        other.execute("select pg_advisory_lock(%s)", (LOCK_KEY,))
        assert "another proof of cell 'na'" in world.prove("na", ["geo_residency"])[0].errors[0]
        monkeypatch.undo()
        done: list[Proof] = []
        waiting = threading.Thread(target=lambda: done.extend(world.prove("na", ["geo_residency"])))
        waiting.start()
        other.execute("select pg_advisory_unlock(%s)", (LOCK_KEY,))
        waiting.join(timeout=60)
    assert [proof.verdict for proof in done] == ["green"]


def test_loads_that_go_on_meanwhile_change_no_verdict(world: "ProofCells") -> None:
    stop = threading.Event()

    def write() -> None:
        with routing.connect("na", "loader", autocommit=True, settings=world.settings) as loader:
            tenant = loader.execute("select id from saas.tenants order by id limit 1").fetchone()
            number = 1000
            while not stop.is_set():
                number += 1
                loader.execute(
                    "insert into ecommerce.categories (tenant_id, id, name, slug, path)"
                    " values (%s, %s, 'x', 'x-' || %s::text, '')",
                    (tenant[0] if tenant else None, number, number),
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = [a for _ in range(3) for a in attack("na", load_relations(), world.settings)]
    finally:
        stop.set()
        writer.join()
        world.execute("na", "delete from ecommerce.categories where id > 1000")
    assert {a.state for a in found} == {"repelled", "own rows seen"}


def test_the_gate_and_the_library_say_the_same(green: "ProofCells") -> None:
    assert [(s.suite, s.verdict, s.open) for s in gate_state("na", settings=green.settings)] == [
        ("geo_residency", "green", True),
        ("tenant_isolation", "green", True),
    ]


def test_old_proofs_are_dropped_and_the_newest_never_is(world: "ProofCells") -> None:
    with routing.connect("na", "auditor", settings=world.settings) as connection:
        connection.execute(
            "insert into platform.proofs (suite, verdict, catalog_digest, rules_run, started_at, finished_at)"
            " select 'geo_residency', 'green', 'x', 1, now() - interval '40 days', now() - interval '40 days'"
            " from generate_series(1, 20)"
        )
    world.prove("na", ["geo_residency"])
    assert world.rows("na", "select count(*) from platform.proofs where started_at < now() - interval '30 days'") == [
        (0,)
    ]
    assert world.rows("na", "select count(*) > 0 from platform.proofs where suite = 'tenant_isolation'") == [(True,)]


def test_app_cannot_read_or_forge_a_verdict(world: "ProofCells") -> None:
    forge = (
        "insert into platform.proofs (suite, verdict, catalog_digest, rules_run, started_at, finished_at)"
        " values ('tenant_isolation', 'green', 'x', 1, now(), now())"
    )
    for statement in ("select from platform.proofs", forge, "delete from platform.proofs"):
        with (
            routing.connect("na", "app", settings=world.settings) as app,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            app.execute(statement.encode())


def test_a_session_setting_reaches_a_rule(world: "ProofCells") -> None:
    rule = Rule("reads", "Reads", "", "select current_setting('proof.word') as object, 1 as offenders")
    [result] = validate(
        [Suite("demo", "Demo", (rule,))],
        endpoints.dsn("na", "auditor", settings=world.settings),
        source="cell na",
        session=Session({"proof.word": "it's {braced} and :named"}),
    )
    assert result.rules[0].offenders[0].object == "it's {braced} and :named"


def test_an_error_that_quotes_a_row_leaves_none_of_it_in_evidence(world: "ProofCells", tmp_path: Path) -> None:
    quoting = Rule("quotes", "Quotes", "", "select email::integer::text as object, 1 as offenders from geo.users")
    docs = DataDocs(site=tmp_path / "site", store=tmp_path / "store", title="cell na")
    [result] = validate(
        [Suite("demo", "Demo", (quoting,))],
        endpoints.dsn("na", "auditor", settings=world.settings),
        source="cell na",
        docs=docs,
    )
    assert result.rules[0].error == "InvalidTextRepresentation"
    assert result.docs is not None
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in written if b"m4rk3r" in path.read_bytes()]
    assert "m4rk3r" not in repr(result)
