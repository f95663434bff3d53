"""The outcome for a script: 0 proven, 1 violated, 2 could not be proven."""

import json
from typing import cast
from uuid import UUID

import pytest

from orchestration.proofs.proof import SUITES, SUITES_DIRECTORY, Proof, RuleOffender
from orchestration.proofs.verify import Verification, verify
from orchestration.quality.suite import load_suite
from orchestration.quality.validation import Verdict


def _proof(verdict: str) -> Proof:
    offenders = (RuleOffender("rule", "public.stray", 2),) if verdict == "red" else ()
    errors = ("rule: QueryCanceled",) if verdict == "error" else ()
    return Proof(UUID(int=1), "na", "geo_residency", cast(Verdict, verdict), offenders, errors, 3, 1.0)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [((), 2), (("green",), 0), (("green", "red"), 1), (("red", "error"), 2), (("green", "error"), 2)],
)
def test_the_exit_code_tells_violated_from_not_proven(verdicts: tuple[str, ...], code: int) -> None:
    assert Verification(tuple(_proof(verdict) for verdict in verdicts)).exit_code == code


def test_the_json_names_offenders_and_reasons() -> None:
    printed = json.loads(json.dumps(Verification((_proof("red"), _proof("error"))).as_json()))
    assert printed["exit_code"] == 2
    assert printed["proofs"][0]["offenders"] == [{"rule": "rule", "object": "public.stray", "count": 2}]
    assert printed["proofs"][1]["errors"] == ["rule: QueryCanceled"]


def test_an_unknown_subject_is_a_mistake_and_no_proof() -> None:
    with pytest.raises(ValueError, match="one of isolation, residency, lineage, all"):
        verify("everything")  # type: ignore[arg-type]


@pytest.mark.parametrize("suite", SUITES)
def test_the_projects_own_suites_can_be_read(suite: str) -> None:
    loaded = load_suite(SUITES_DIRECTORY / suite)
    assert loaded.name == suite
