"""A report of real cells: proven and violated ones side by side, without anybody's value."""

import json
from typing import TYPE_CHECKING

from orchestration.proofs import evidence as report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.proofs.conftest import ProofCells

# In every personal column of the seed.
MARKER = "m4rk3r"


def test_a_report_covers_rules_attacks_and_versions_and_holds_nobodys_value(
    world: "ProofCells", tmp_path: "Path"
) -> None:
    with world.planted("na", "create table public.stray (x int)", "drop table public.stray"):
        evidence = report.gather(["na", "eu"], settings=world.settings)
    na, eu = evidence.cells
    assert (na.outcome, eu.outcome, evidence.exit_code) == ("violated", "proven", 1)
    assert [rule.offenders for rule in na.rules if rule.rule == "relations_are_declared"] == [(("public.stray", 1),)]
    assert {rule.status for rule in eu.rules} == {"passed"}
    assert eu.facts is not None
    assert eu.facts.tenants == 4
    assert "ecommerce.orders (table)" in eu.objects["tenant"]
    assert eu.attacks_made > 300
    assert {"read another tenant's rows", "borrow after a timeout", "drop a chunk"} <= {a.attack for a in eu.attacks}
    assert [a.attack for a in eu.attacks if a.succeeded or a.unproven] == []
    assert eu.catalog_digest != na.catalog_digest
    written = report.write(evidence, tmp_path)
    page, text = written.html.read_text(), written.json.read_text()
    assert json.loads(text)["cells"][0]["outcome"] == "violated"
    assert "public.stray" in page
    tenants = [str(row[0]) for row in world.rows("eu", "select id::text from saas.tenants")]
    secrets = [str(each) for each in json.loads((world.settings.home / "secrets.json").read_text()).values()]
    for word in (MARKER, "postgresql://", *tenants, *secrets):
        assert word not in page + text


def test_rows_that_their_tenant_does_not_see_are_not_proven_and_no_repelled_attack(world: "ProofCells") -> None:
    plant = "create policy nobody on ecommerce.orders as restrictive using (false)"
    with world.planted("na", plant, "drop policy nobody on ecommerce.orders"):
        [cell] = report.gather(["na"], settings=world.settings).cells
    assert cell.outcome == "not proven"
    assert any("own_rows_are_seen: ecommerce.orders" in reason for reason in cell.reasons)
    assert [a.unproven for a in cell.attacks if a.attack == "read own rows"] == [("ecommerce.orders",)]
