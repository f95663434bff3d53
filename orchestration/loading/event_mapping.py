"""Mappings: small YAML files that say which column of a foreign file becomes which column of an event.

Presets lie in ``orchestration/loading/mappings``; ``docs/importing.md`` explains every key.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from orchestration.loading.import_errors import MappingError

PRESETS = Path(__file__).parent / "mappings"

Format = Literal["csv", "jsonl", "parquet"]

_CONSTANT_TEXT = re.compile(r"[^\x00-\x1f]{1,200}")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TimeColumn(_Part):
    """Where the time is: ISO 8601 text, or a number of seconds, milliseconds or microseconds since 1970."""

    column: str
    format: Literal["iso", "epoch_s", "epoch_ms", "epoch_us"] = "iso"
    # The zone of times that name none; without it they are rejected.
    zone: str | None = None

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str | None) -> str | None:
        if zone is not None:
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError):
                raise ValueError(f"{zone!r} is no time zone such as UTC or Europe/Berlin") from None
        return zone


class EventTypeColumn(_Part):
    """Which event it is: the source's words, and ours for them."""

    column: str
    # Where the first is empty: page views of a product that names only its other events.
    otherwise: str | None = None
    values: dict[str, str] = Field(default_factory=dict)
    others: Literal["keep", "reject"] = "keep"


class EventIdColumn(_Part):
    """What an event's identity is: its own id, its line in the file, or what it says."""

    source: Literal["column", "line", "content"] = Field(alias="from")
    column: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "EventIdColumn":
        if (self.source == "column") != (self.column is not None):
            raise ValueError("`from: column` needs `column`, and nothing else has one")
        return self


class KeyColumn(_Part):
    """A user or a session: as the source has it, or by a hash of whatever text it is."""

    column: str
    otherwise: str | None = None
    # A hash is of both: visits that are numbered for each visitor anew.
    within: str | None = None
    type: Literal["integer", "uuid", "hash"]


class TextColumn(_Part):
    """A text, and what the source's words for it are called here."""

    column: str
    values: dict[str, str] = Field(default_factory=dict)
    # A word that is not in `values` and not what the column wants: keep it away instead of rejecting the line.
    others: Literal["keep", "reject", "drop"] = "keep"


class Property(_Part):
    """A member of the event's properties: from a column, or the same for all events."""

    column: str | None = None
    constant: str | None = None
    type: Literal["text", "integer", "number", "boolean", "json"] = "text"
    # Only for these event types, by our names.
    when: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _complete(self) -> "Property":
        if (self.column is None) == (self.constant is None):
            raise ValueError("a property has either `column` or `constant`")
        if self.constant is not None and not _CONSTANT_TEXT.fullmatch(self.constant):
            raise ValueError("`constant` is a text of 1 to 200 characters")
        return self


class Mapping(_Part):
    """A mapping as a whole."""

    description: str
    formats: Annotated[tuple[Format, ...], Field(min_length=1)]
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    time: TimeColumn
    event_type: EventTypeColumn
    event_id: EventIdColumn
    user_id: KeyColumn | None = None
    session_id: KeyColumn | None = None
    page_url: TextColumn | None = None
    referrer: TextColumn | None = None
    device_type: TextColumn | None = None
    country: TextColumn | None = None
    properties: dict[str, Property] = Field(default_factory=dict)
    # An object, or a list of {key, value}, whose members become properties; a property of `properties` comes first.
    properties_from: str | None = None

    @model_validator(mode="after")
    def _typed(self) -> "Mapping":
        if self.session_id is not None and self.session_id.type == "integer":
            raise ValueError("session_id is `type: uuid`, or `hash` of whatever the source has")
        if self.user_id is not None and self.user_id.type == "uuid":
            raise ValueError("user_id is `type: integer`, or `hash` of whatever the source has")
        if self.delimiter in '"\r\n' or not self.delimiter.isascii():
            raise ValueError("`delimiter` is one ASCII character, neither a quote nor the end of a line")
        return self

    def sources(self) -> tuple[str, ...]:
        """Return every column or path of the source that is read, each once."""
        parts: list[Any] = [
            self.time,
            self.event_type,
            self.event_id,
            self.user_id,
            self.session_id,
            self.page_url,
            self.referrer,
            self.device_type,
            self.country,
            *self.properties.values(),
        ]
        found = [getattr(part, name, None) for part in parts for name in ("column", "otherwise", "within")]
        return tuple(dict.fromkeys(each for each in (*found, self.properties_from) if each is not None))

    def required(self) -> tuple[str, ...]:
        """Return the columns without which no event can be made."""
        # A line may lack the first of two columns, never the second.
        needed = [self.time.column, self.event_type.otherwise or self.event_type.column, self.event_id.column]
        return tuple(dict.fromkeys(each for each in needed if each is not None))


class NamedMapping(_Part):
    """A mapping with the name that it was asked by, and the digest of its file."""

    name: str
    digest: str
    mapping: Mapping


@cache
def presets() -> tuple[str, ...]:
    """Return the names of the mappings that are shipped."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yml")))


def load_mapping(which: str) -> NamedMapping:
    """Return a preset by its name, or the mapping in a file.

    Raises:
        MappingError: there is none, or it cannot be used; names the key and what is wrong with it.
    """
    path = PRESETS / f"{which}.yml" if which in presets() else Path(which)
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise MappingError(
            f"there is no mapping {which!r}: name one of {', '.join(presets())}, or a YAML file (docs/importing.md)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MappingError(f"mapping {which!r} cannot be read: {type(error).__name__}") from None
    try:
        content = yaml.safe_load(text)
        mapping = Mapping.model_validate(content)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise MappingError(f"mapping {which!r} is no YAML{where}") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or 'the mapping'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
        raise MappingError(f"mapping {which!r} cannot be used: {wrong}") from None
    name = which if which in presets() else path.name
    return NamedMapping(name=name, digest=hashlib.sha256(text.encode()).hexdigest(), mapping=mapping)
