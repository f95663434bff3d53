"""SCRAM verifiers: recognising the password they were made from."""

import pytest

from orchestration.cells.credentials import CELL_LOGINS, verifier_matches

# Made by PostgreSQL 15 for the password "correct horse".
VERIFIER = (
    "SCRAM-SHA-256$4096:UevW9Gdb5cJNclynhc6ZVQ=="
    "$tIgPm1nuxC8eC/3UIwi3GnzGCzOQDtJ+b8cRQW7Xo2A=:YGo4foL4FYFkCwB1remyZ5zdIc9pYQH7z3z0QwE3YuQ="
)


def test_a_verifier_is_recognised_as_that_of_its_password_and_no_other() -> None:
    assert verifier_matches(VERIFIER, "correct horse")
    assert not verifier_matches(VERIFIER, "correct horses")


@pytest.mark.parametrize("verifier", [None, "", "md5d41d8cd98f00b204e9800998ecf8427e", "SCRAM-SHA-256$x:y$z", "a$b$c"])
def test_what_is_no_verifier_matches_nothing(verifier: str | None) -> None:
    assert not verifier_matches(verifier, "correct horse")


def test_every_role_that_logs_in_to_a_cell_has_a_password() -> None:
    assert set(CELL_LOGINS) == {
        "migrator",
        "loader",
        "transformer",
        "app",
        "auditor",
        "replicator",
        "gateway",
        "publisher",
    }
