"""When a cell has to be proven again."""

from dataclasses import replace

import pytest

from orchestration.proofs.proof import UNKNOWN_DIGEST
from orchestration.proofs.watch import Look, decide

PROVEN = Look(
    digest="a",
    has_tenants=True,
    misplaced={},
    movement=100,
    proof_id="p",
    verdict="green",
    proven_digest="a",
    age_seconds=30.0,
    proven_misplaced={},
    proven_strays=(),
)
MISPLACED = {"geo.users (region eu)": 2}


@pytest.mark.parametrize(
    ("changes", "prove", "reason"),
    [
        ({}, False, "nothing changed"),
        ({"has_tenants": False, "digest": "b"}, False, "no tenant yet"),
        ({"proof_id": None, "age_seconds": None}, True, "never proven"),
        ({"digest": "b"}, True, "the catalog changed"),
        ({"digest": "b", "verdict": "red"}, True, "the catalog changed"),
        ({"digest": "b", "verdict": "error"}, True, "the catalog changed"),
        ({"movement": 101}, False, "nothing changed"),
        ({"movement": 101, "age_seconds": 599.0}, False, "nothing changed"),
        ({"movement": 101, "age_seconds": 600.0}, True, "rows moved"),
        ({"movement": 100, "age_seconds": 2000.0}, False, "nothing changed"),
        ({"age_seconds": 2700.0}, True, "proven 45 minutes ago"),
        ({"verdict": "error", "age_seconds": 299.0}, False, "tried again after 300 s"),
        ({"verdict": "error", "proven_digest": UNKNOWN_DIGEST}, False, "tried again after 300 s"),
        ({"verdict": "error", "proven_digest": UNKNOWN_DIGEST, "age_seconds": 300.0}, True, "could not be proven"),
        ({"misplaced": MISPLACED}, False, "nothing changed"),
    ],
)
def test_a_cell_is_proven_for_a_cause_and_not_without_one(changes: dict[str, object], prove: bool, reason: str) -> None:
    decision = decide(replace(PROVEN, **changes), "tenant_isolation", 100)  # type: ignore[arg-type]
    assert (decision.prove, reason in decision.reason) == (prove, True), decision


def test_misplaced_people_are_residencys_cause_at_once() -> None:
    decision = decide(replace(PROVEN, misplaced=MISPLACED), "geo_residency", 100)
    assert (decision.prove, decision.of_residency) == (True, True)


def test_the_same_misplaced_people_are_no_new_cause() -> None:
    red = replace(PROVEN, verdict="red", misplaced=MISPLACED, proven_misplaced=dict(MISPLACED))
    assert not decide(red, "geo_residency", 100).prove
    assert decide(replace(red, misplaced={}), "geo_residency", 100).prove


def test_files_of_no_store_are_residencys_cause_at_once_and_once() -> None:
    strayed = replace(PROVEN, strays=["attic"])
    decision = decide(strayed, "geo_residency", 100)
    assert (decision.prove, decision.of_residency, decision.reason) == (True, True, "files of no store changed")
    assert not decide(strayed, "tenant_isolation", 100).prove
    named = replace(strayed, verdict="red", proven_strays=["attic"])
    assert not decide(named, "geo_residency", 100).prove
    assert decide(replace(named, strays=[]), "geo_residency", 100).prove
    assert decide(replace(named, strays=["attic", "copy"]), "geo_residency", 100).prove


def test_more_files_than_a_verdict_names_are_not_proven_again_and_again() -> None:
    many = [f"copy{n}" for n in range(300)]
    seen = replace(PROVEN, verdict="red", strays=many, proven_strays=many[:200])
    assert not decide(seen, "geo_residency", 100).prove
    assert decide(replace(seen, strays=many[1:]), "geo_residency", 100).prove


def test_a_shorter_life_of_verdicts_is_renewed_sooner() -> None:
    assert decide(replace(PROVEN, age_seconds=460.0), "tenant_isolation", 100, max_age_minutes=10).prove
