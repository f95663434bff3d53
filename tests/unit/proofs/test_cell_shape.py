"""Cells are compared fact by fact."""

from orchestration.proofs.cell_shape import Difference, differences

BOTH = "(relation,geo.users,r)"


def test_what_one_cell_lacks_is_named_with_the_cells_that_have_it() -> None:
    found = differences({"na": frozenset({BOTH, "(relation,public.x,r)"}), "eu": frozenset({BOTH})})
    assert found == (Difference("(relation,public.x,r)", ("na",)),)


def test_equal_cells_do_not_differ() -> None:
    assert differences({"na": frozenset({BOTH}), "eu": frozenset({BOTH})}) == ()


def test_what_dbt_has_not_built_yet_is_no_difference_but_another_shape_is() -> None:
    built = frozenset({BOTH, "(relation,marts.m,r)", "(column,marts.m,1,tenant_id)"})
    assert differences({"na": built, "eu": frozenset({BOTH})}) == ()
    other = frozenset({BOTH, "(relation,marts.m,r)"})
    assert differences({"na": built, "eu": other}) == (Difference("(column,marts.m,1,tenant_id)", ("na",)),)
