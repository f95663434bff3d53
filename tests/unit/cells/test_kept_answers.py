"""What is kept is bounded in time and number."""

from hypothesis import given
from hypothesis import strategies as st

from orchestration.cells.kept_answers import KeptAnswers


def test_an_answer_is_kept_for_its_seconds_and_no_longer() -> None:
    now = [0.0]
    kept: KeptAnswers[str, int] = KeptAnswers(10, 5, clock=lambda: now[0])
    kept.keep("a", 1)
    now[0] = 9.9
    assert kept.get("a") == 1
    now[0] = 10.0
    assert kept.get("a") is None


@given(st.lists(st.integers(0, 30)))
def test_never_more_are_kept_than_allowed_and_the_newest_are_there(keys: list[int]) -> None:
    kept: KeptAnswers[int, int] = KeptAnswers(100, 4, clock=lambda: 0.0)
    for key in keys:
        kept.keep(key, -key)
        assert len(kept) <= 4
        assert kept.get(key) == -key
    newest = list(dict.fromkeys(reversed(keys)))[:4]
    assert {key for key in range(31) if kept.get(key) is not None or key in newest} == set(newest)


def test_what_was_wrong_is_forgotten() -> None:
    kept: KeptAnswers[str, int] = KeptAnswers(10, 5)
    kept.keep("a", 1)
    kept.forget("a")
    kept.forget("b")
    assert kept.get("a") is None
