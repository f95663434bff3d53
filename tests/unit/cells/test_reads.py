"""What may be read eventually: declared global, and not fresher than clocks allow."""

from datetime import timedelta

import pytest

from orchestration.cells.reads import CLOCK_SKEW, Eventual, NotGlobalError, require_global
from orchestration.cells.relations import load_relations


def test_of_all_declared_relations_only_the_global_ones_have_copies() -> None:
    for relation in load_relations():
        if relation.kind == "global":
            assert require_global([relation.name]) == (relation.name,)
        else:
            with pytest.raises(NotGlobalError, match=f"{relation.name} is declared {relation.kind}"):
                require_global(["saas.plans", relation.name])


@pytest.mark.parametrize("relations", [[], "saas.plans", ["geo.nowhere"], ["SAAS.PLANS"], ["plans"]])
def test_what_is_not_declared_or_not_named_cannot_be_read_as_global(relations: list[str]) -> None:
    with pytest.raises(NotGlobalError):
        require_global(relations)


@pytest.mark.parametrize("staleness", [timedelta(0), timedelta(seconds=-5), CLOCK_SKEW])
def test_a_staleness_that_clocks_cannot_tell_is_an_error(staleness: timedelta) -> None:
    with pytest.raises(ValueError, match="max_staleness"):
        Eventual(staleness)
