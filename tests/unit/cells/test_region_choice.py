"""Which cell a request goes to, for every combination of what it names, and that nothing is ever guessed."""

from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.cells.region_choice import (
    MisplacedPersonError,
    NoRegionError,
    PersonHome,
    RegionChoiceError,
    RegionConflictError,
    Subject,
    caller_region,
    choose,
    nearest,
)
from orchestration.cells.regions import CELLS, REGIONS, Cell, UnknownCellError, parse_cell

PERSON = UUID("6f1c2f0a-6a0e-4f0f-9d43-8f6f0a3b7c51")

# What a mistake looks like: a provider's region, a country, another case, blanks, two at once.
NO_REGIONS = (
    "",
    " ",
    "EU",
    "Eu",
    " eu",
    "eu ",
    "eu\n",
    "eu\0",
    "us",
    "us-east-1",
    "eu-central-1",
    "europe",
    "na,eu",
    "n\u0430",
)

named = st.one_of(st.none(), st.sampled_from(CELLS))
any_text = st.one_of(st.text(), st.sampled_from(NO_REGIONS), st.sampled_from(CELLS).map(str.upper))


def home_in(cell: Cell | None) -> PersonHome | None:
    return None if cell is None else PersonHome(PERSON, cell, cell)


@pytest.mark.parametrize("name", [*NO_REGIONS, None])
def test_what_is_no_exact_region_is_an_error_that_names_the_regions(name: str | None) -> None:
    with pytest.raises(UnknownCellError, match="na, eu, apac"):
        parse_cell(name)


@given(any_text)
def test_any_text_is_one_of_the_three_cells_or_an_error(text: str) -> None:
    if text in CELLS:
        assert parse_cell(text) == text
    else:
        with pytest.raises(UnknownCellError):
            parse_cell(text)


@given(any_text.filter(lambda text: text not in CELLS), named, named)
def test_a_region_or_header_that_is_none_is_an_error_also_where_it_would_be_overruled(
    text: str, person: Cell | None, tenant: Cell | None
) -> None:
    for subject in (Subject(region=text), Subject(headers={"X-Region": text})):
        with pytest.raises(UnknownCellError):
            choose(subject, person=home_in(person), tenant=tenant)
        with pytest.raises(UnknownCellError):
            nearest(subject, "na")


@pytest.mark.parametrize(("person", "tenant", "region", "header"), list(product((None, *CELLS), repeat=4)))
def test_every_combination_of_person_tenant_region_and_header_goes_where_the_table_says(
    person: Cell | None, tenant: Cell | None, region: Cell | None, header: Cell | None
) -> None:
    subject = Subject(region=region, headers={"X-Region": header} if header else {})
    homes = {"person": home_in(person), "tenant": tenant}
    # The table of the module, said a second time and differently.
    if tenant and person and tenant not in REGIONS[person].residency:
        with pytest.raises(MisplacedPersonError, match=f"region '{person}'.*cell '{tenant}'"):
            choose(subject, **homes)  # type: ignore[arg-type]
        return
    home = tenant or person
    if home and region and region != home:
        with pytest.raises(RegionConflictError, match=f"'{region}'.*'{home}'"):
            choose(subject, **homes)  # type: ignore[arg-type]
        return
    expected = home or region or header
    if expected is None:
        with pytest.raises(NoRegionError, match="na, eu, apac"):
            choose(subject, **homes)  # type: ignore[arg-type]
        return
    choice = choose(subject, **homes)  # type: ignore[arg-type]
    assert (choice.cell, choice.caller) == (expected, header)
    by = "tenant" if tenant else "person" if person else "region" if region else "header"
    assert choice.decided_by == by


@given(named, named, named)
def test_a_person_of_the_eu_goes_to_the_eu_or_nowhere(
    tenant: Cell | None, region: Cell | None, header: Cell | None
) -> None:
    subject = Subject(region=region, headers={"x-region": header} if header else {})
    try:
        choice = choose(subject, person=home_in("eu"), tenant=tenant)
    except RegionChoiceError:
        assert tenant not in (None, "eu") or region not in (None, "eu")
    else:
        assert choice.cell == "eu"


@pytest.mark.parametrize("name", ["X-Region", "x-region", "X-REGION"])
def test_the_header_is_found_in_any_case_and_its_value_only_as_it_is(name: str) -> None:
    assert caller_region({name: "apac", "X-Regions": "eu"}) == "apac"
    with pytest.raises(UnknownCellError, match="header X-Region"):
        caller_region({name: "APAC"})


def test_no_header_is_no_region_and_two_are_an_error() -> None:
    assert caller_region({}) is None
    with pytest.raises(RegionChoiceError, match="2 times"):
        caller_region({"X-Region": "eu", "x-region": "eu"})


@given(named, named, named)
def test_the_nearest_copy_is_by_region_then_header_then_process_and_never_guessed(
    region: Cell | None, header: Cell | None, here: Cell | None
) -> None:
    subject = Subject(region=region, headers={"X-Region": header} if header else {})
    expected = region or header or here
    if expected is None:
        with pytest.raises(NoRegionError):
            nearest(subject, here)
    else:
        assert nearest(subject, here).cell == expected
