"""How far a number of unique users may be off: by chance, hardly ever farther; by a fault, soon."""

import math

import pytest

from orchestration.realtime.reconciliation import STANDARD_ERROR, allowed_user_error


def test_nobody_is_exact() -> None:
    assert allowed_user_error(0) == 0


def test_the_standard_error_is_that_of_redis() -> None:
    assert pytest.approx(0.0081, abs=5e-5) == STANDARD_ERROR


@pytest.mark.parametrize("users", [1, 10, 100, 300, 1_000, 10_000, 1_000_000])
def test_chance_exceeds_it_less_than_once_in_a_thousand_million(users: int) -> None:
    allowed = allowed_user_error(users)
    assert allowed >= 6 * STANDARD_ERROR * users
    mean = users * users / 2 / 2**14
    if mean < 50:
        terms = [math.exp(-mean)]
        for pairs in range(1, math.ceil(allowed + mean) + 1):
            terms.append(terms[-1] * mean / pairs)
        assert 1 - math.fsum(terms) < 2e-9


@pytest.mark.parametrize(("users", "most"), [(1, 2), (10, 3), (100, 8), (1_000, 50), (100_000, 4_900)])
def test_a_fault_shows(users: int, most: int) -> None:
    assert allowed_user_error(users) <= most
