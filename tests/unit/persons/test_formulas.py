"""Whatever a person is called, a spreadsheet takes no cell of their CSV for a formula, and no character is lost."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from orchestration.persons.bundle import _csv_line, _guarded

ANYTHING = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"))


@given(st.lists(ANYTHING | st.sampled_from(["=1+1", "+49", "-1", "@x", "\tx", "'=x", ""]), min_size=1, max_size=5))
def test_texts_come_back_whole_and_are_never_formulas(texts: list[str]) -> None:
    line = _csv_line([_guarded(text, is_text=True) for text in texts])
    (read,) = csv.reader(io.StringIO(line, newline=""))
    for text, cell in zip(texts, read, strict=True):
        assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert cell in (text, f"'{text}")
        assert (cell == text) == (not text.startswith(("=", "+", "-", "@", "\t", "\r")))


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_keep_their_sign(number: object) -> None:
    assert _guarded(str(number), is_text=False) == str(number)
