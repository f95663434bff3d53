"""Where a person is at home, by what the cells answer; what is kept, and that it is dropped."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.cells.person_homes import PersonHomeError, PersonHomes, UnknownPersonError, decide_home
from orchestration.cells.regions import CELLS, Cell, UnknownCellError
from orchestration.cells.routing import CellUnavailableError

PERSON = uuid4()

# What each cell says: nothing (None), that it does not answer ("silent"), or a region of record.
answers = st.fixed_dictionaries({cell: st.sampled_from([None, "silent", *CELLS]) for cell in CELLS})


@given(answers)
def test_a_home_has_the_record_that_it_was_found_by_and_anything_else_is_an_error(
    said: dict[Cell, Cell | str | None],
) -> None:
    found: dict[Cell, Cell] = {cell: region for cell, region in said.items() if region in CELLS}  # type: ignore[misc]
    silent = [cell for cell, region in said.items() if region == "silent"]
    at_home = [cell for cell, region in found.items() if cell == region]
    try:
        home = decide_home(PERSON, found, silent)
    except PersonHomeError:
        assert len(at_home) > 1 or (not at_home and not silent and len(found) > 1)
    except CellUnavailableError as error:
        assert silent
        assert not at_home
        assert all(cell in error.args[0] for cell in silent)  # noqa: PT017 -- one of several that may come
    except UnknownPersonError:
        assert not found
        assert not silent
    else:
        assert found[home.cell] == home.region
        assert at_home == [home.cell] or (not at_home and list(found) == [home.cell])


class Cells:
    """Stands for the three cells: what each says, and how often it was asked."""

    def __init__(self, **said: str | None) -> None:
        self.said = said
        self.asked: list[str] = []

    def __call__(self, cell: Cell, person: UUID) -> str | None:
        assert person == PERSON
        self.asked.append(cell)
        if self.said.get(cell) == "silent":
            raise CellUnavailableError(f"{cell} is down")
        return self.said.get(cell)


def test_a_home_is_asked_for_once_and_again_after_it_was_wrong() -> None:
    cells = Cells(eu="eu")
    homes = PersonHomes(cells)
    assert [homes.find(PERSON).cell for _ in range(3)] == ["eu"] * 3
    assert cells.asked == list(CELLS)
    cells.said = {"na": "na"}
    assert homes.find(PERSON).cell == "eu"
    homes.forget(PERSON)
    assert homes.find(PERSON).cell == "na"


def test_that_a_person_is_nowhere_is_not_kept() -> None:
    cells = Cells()
    homes = PersonHomes(cells)
    with pytest.raises(UnknownPersonError):
        homes.find(PERSON)
    cells.said = {"apac": "apac"}
    assert homes.find(PERSON).cell == "apac"


def test_a_cell_that_is_down_does_not_keep_others_people_from_their_home() -> None:
    assert PersonHomes(Cells(na="silent", eu="eu")).find(PERSON).cell == "eu"
    with pytest.raises(CellUnavailableError, match="na does not answer"):
        PersonHomes(Cells(na="silent")).find(PERSON)


def test_a_record_without_a_region_is_an_error_and_not_a_home() -> None:
    with pytest.raises(UnknownCellError, match="in cell 'na'"):
        PersonHomes(Cells(na="EU")).find(PERSON)
