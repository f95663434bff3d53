import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.tenancy.compaction import CompactionError, delete_until_settled


@given(st.lists(st.integers(1, 9), max_size=19))
def test_it_is_over_when_nothing_is_found_after_a_wait(written: list[int]) -> None:
    calls: list[str] = []
    left = [*written, 0]

    def delete() -> int:
        calls.append("delete")
        return left.pop(0)

    assert delete_until_settled(delete, lambda: calls.append("wait")) == sum(written)
    assert calls == ["wait", "delete"] * (len(written) + 1)


def test_what_is_written_again_without_end_is_an_error() -> None:
    with pytest.raises(CompactionError, match="something writes them anew"):
        delete_until_settled(lambda: 1, lambda: None)
