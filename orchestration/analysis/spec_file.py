"""A specification in a JSON file, as `capstone funnel` and `capstone retention` are given it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from orchestration.analysis.mistakes import Place
from orchestration.analysis.spec import (
    AD_HOC_WINDOW,
    FunnelSpec,
    RetentionSpec,
    check_funnel_definition,
    check_retention,
    funnel_of,
    retention_of,
)

# What else stands in a case with a specification: not ours to read, and no mistake.
_CASE_FIELDS = frozenset({"name", "note", "events", "expected"})


class SpecError(ValueError):
    """A specification cannot be used; the message lists every mistake with the file, the place and what is needed."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"{next(key for key in keys if keys.count(key) > 1)!r} is given twice in one object")
    return content


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        # The reader of the events: a number in a step's props is then the number that an event has.
        content = orjson.loads(text.removeprefix(b"\xef\xbb\xbf"))
        json.loads(text.decode("utf-8-sig"), object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}:{error.lineno}: not JSON: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: {error}") from None
    if not isinstance(content, dict):
        raise SpecError(f"{path}: a JSON object is needed")
    return content


def _without_case(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in _CASE_FIELDS}


def _checked(path: Path, check: Callable[[Place], None]) -> None:
    place = Place()
    check(place)
    if place.found:
        raise SpecError("\n".join(f"{path}: {mistake}" for mistake in place.found))


def read_funnel_spec(path: Path) -> FunnelSpec:
    """Return the funnel in a JSON file: ``{steps, window_seconds, mode, exclusions}``, or a case with it as ``funnel``.

    Raises:
        SpecError: the file cannot be read, or the funnel has mistakes.
    """
    content = _read(path)
    in_case = "funnel" in content
    spec = _without_case(content)

    def check(place: Place) -> None:
        of_funnel: Any = spec
        if in_case:
            place.fields(spec, required=("funnel",), optional=())
            place, of_funnel = place.below("funnel", name="funnel"), spec["funnel"]
        fields = place.fields(of_funnel, required=("steps", "window_seconds"), optional=("mode", "exclusions"))
        if fields is not None:
            check_funnel_definition(fields, place, least_steps=1, window=AD_HOC_WINDOW)

    _checked(path, check)
    return funnel_of(spec["funnel"] if in_case else spec)


def read_retention_spec(path: Path, *, range_is_required: bool) -> RetentionSpec:
    """Return the retention matrix in a JSON file: ``{period, kind, target_event, return_event, range}``, or a case.

    Raises:
        SpecError: the file cannot be read, or the specification has mistakes.
    """
    spec = _without_case(_read(path))
    _checked(path, lambda place: check_retention(spec, place, range_is_required=range_is_required))
    return retention_of(spec)
