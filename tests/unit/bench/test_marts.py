"""The benchmark of the marts reports nothing when its contestants disagree."""

import pytest

from orchestration.bench.load import BenchError
from orchestration.bench.marts import contest
from orchestration.bench.report import compared_seconds


def test_contestants_take_turns_and_the_median_counts() -> None:
    order: list[str] = []

    def turn(name: str) -> list[list[float]]:
        order.append(name)
        return [[1, 2.0]]

    seconds = contest({name: lambda name=name: turn(name) for name in ("a", "b")}, 3)  # type: ignore[misc]
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert seconds.keys() == {"a", "b"}


@pytest.mark.parametrize("other", [[[1, 2.5]], [[1]], [], [[1, None]], [["1", 2.0]]])
def test_different_answers_are_no_report(other: object) -> None:
    with pytest.raises(BenchError, match="no report of wrong numbers"):
        contest({"a": lambda: [[1, 2.0]], "b": lambda: other}, 1)


def test_less_time_is_better() -> None:
    assert compared_seconds("f", 1.0, baseline=2.0, goal=0.5).met
    assert not compared_seconds("f", 1.1, baseline=2.0, goal=0.5).met
