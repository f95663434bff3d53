"""How often something is repeated, and that the pauses are bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.cells.retries import Retries


@given(st.integers(1, 20), st.floats(0, 0.1), st.floats(0.1, 2))
def test_there_are_as_many_pauses_as_repetitions_and_each_is_bounded(attempts: int, first: float, most: float) -> None:
    pauses = list(Retries(attempts, first, most).pauses())
    assert len(pauses) == attempts - 1
    assert all(0 <= pause <= min(most, first * 2**n) for n, pause in enumerate(pauses))


@pytest.mark.parametrize(("attempts", "first", "most"), [(0, 0.1, 1), (3, -1, 1), (3, 2, 1)])
def test_what_cannot_be_repeated_so_is_an_error(attempts: int, first: float, most: float) -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        Retries(attempts, first, most)
