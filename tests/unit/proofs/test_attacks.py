"""What an attack's outcome means, and whom it is tried on."""

import pytest

from orchestration.proofs.attacks import ATTACKED_TENANTS, choose_tenants, judge


@pytest.mark.parametrize(
    ("state", "rows", "by_rows", "verdict"),
    [
        ("00000", 0, True, "repelled"),
        ("00000", 3, True, "succeeded"),
        ("00000", 0, False, "succeeded"),
        ("42501", 0, True, "repelled"),
        ("42P01", 0, False, "repelled"),
        ("428C9", 0, True, "repelled"),
        # Row security let it through to the constraints.
        ("23502", 0, True, "succeeded"),
        ("23503", 0, True, "succeeded"),
        ("23505", 0, True, "succeeded"),
        ("57014", 0, True, "unproven"),
        ("55P03", 0, True, "unproven"),
        ("40001", 0, True, "unproven"),
        ("53200", 0, True, "unproven"),
    ],
)
def test_only_a_refusal_or_no_row_repels(state: str, rows: int, by_rows: bool, verdict: str) -> None:
    assert judge(state, rows, by_rows=by_rows) == verdict


def test_twenty_five_tenants_are_attacked_always_the_same_and_the_largest_among_them() -> None:
    tenants = [f"{number:04}" for number in range(1000)]
    owned = [dict.fromkeys(tenants, 1), {"0777": 5}]
    chosen = choose_tenants(tenants, owned)
    assert len(chosen) == len(set(chosen)) == ATTACKED_TENANTS
    assert chosen[0] == "0777"
    assert chosen == choose_tenants(tenants, owned)


def test_no_tenant_is_attacked_where_none_has_rows() -> None:
    assert choose_tenants(["a", "b"], [{"a": 0, "b": 0}]) == []


def test_a_cell_with_one_tenant_is_attacked_too() -> None:
    assert choose_tenants(["a"], [{"a": 2}]) == ["a"]
