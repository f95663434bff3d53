"""Mistakes in what somebody wrote: each with its place in the document, and all of them at once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Attributes:
        path: keys and indexes that lead to it, for its line.
        place: the same for people: "funnel 'x', step 2"; empty for the document itself.
        text: what is wrong, and what is needed.
    """

    path: Path
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


@dataclass(frozen=True)
class Place:
    """Where a check is in the document; what it finds wrong goes to one list."""

    found: list[Mistake] = field(default_factory=list)
    path: Path = ()
    name: str = ""

    def wrong(self, text: str, *keys: str | int) -> None:
        """Note a mistake here, or below here at ``keys``."""
        self.found.append(Mistake((*self.path, *keys), self.name, text))

    def below(self, *keys: str | int, name: str) -> "Place":
        """Return the place at ``keys``, called ``name`` within this one."""
        return Place(self.found, (*self.path, *keys), f"{self.name}, {name}" if self.name else name)

    def fields(self, value: Any, *, required: Collection[str], optional: Collection[str]) -> Mapping[str, Any] | None:
        """Return ``value`` as a mapping after noting unknown and missing fields; None when it is none."""
        allowed = (*required, *optional)
        if not isinstance(value, Mapping):
            self.wrong(f"a mapping with {', '.join(allowed)} is needed, not {shown(value)}")
            return None
        for key in value:
            if key not in allowed:
                self.wrong(f"unknown field {shown(key)} (allowed: {', '.join(allowed)})", key)
        for key in required:
            if key not in value:
                self.wrong(f"field '{key}' is missing")
        return value

    def choice(self, mapping: Mapping[str, Any], key: str, allowed: Collection[str]) -> None:
        """Note a field whose value is not one of ``allowed``; an absent one is not looked at."""
        if key in mapping and (not isinstance(mapping[key], str) or mapping[key] not in allowed):
            self.wrong(f"{key} is {shown(mapping[key])}: one of {', '.join(allowed)} is needed", key)


# What is quoted of a wrong value: enough to find it, not a page of it.
SHOWN_CHARACTERS = 60


def shown(value: Any) -> str:
    """Return a value as it is shown in a message."""
    text = (
        {None: "null", True: "true", False: "false"}[value]
        if value is None or value is True or value is False
        else repr(value)
    )
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
