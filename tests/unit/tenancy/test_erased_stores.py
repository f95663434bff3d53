"""Each registered store is erased by a step, or has a stated reason why it needs none."""

from orchestration.cells.stores import stores
from orchestration.tenancy.erasing import ERASED_BY, NOT_ERASED


def test_each_store_has_an_eraser_or_a_reason_and_none_has_both() -> None:
    names = {each.name for each in stores()}
    assert names - ERASED_BY.keys() - NOT_ERASED.keys() == set(), "a store that nobody erases and nobody excuses"
    assert (ERASED_BY.keys() | NOT_ERASED.keys()) - names == set(), "an eraser or a reason of no store"
    assert ERASED_BY.keys() & NOT_ERASED.keys() == set()


def test_no_store_that_holds_rows_is_excused_but_by_what_ends_them() -> None:
    excused = {each.name for each in stores() if each.holds == "rows" and each.name in NOT_ERASED}
    assert excused == {"replication"}
    assert all(NOT_ERASED.values())
