"""A live event: what it may be, and how it is written as JSON.

What may be stored is decided here and nowhere else, before an event is accepted and again when it is taken from the
queue: whoever can reach the queue can write anything into it.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal
from uuid import UUID

from pydantic_core import PydanticSerializationError, from_json, to_json

# One event as JSON: a page of properties beside long addresses. It bounds what a batch takes of memory.
MAX_EVENT_BYTES = 64 * 1024
# The brief's columns: VARCHAR(50) and VARCHAR(20).
MAX_EVENT_TYPE_LENGTH = 50
MAX_DEVICE_TYPE_LENGTH = 20
# What browsers and proxies still carry.
MAX_URL_LENGTH = 8192
# Objects and lists within each other in the properties; what reads them recurses.
MAX_PROPERTIES_DEPTH = 16
MAX_USER_ID = 2**63 - 1
# Live events are kept a year: an older one would be dropped on the night that it arrives. It can be imported.
MAX_AGE = timedelta(days=365)
# How much the clock of whoever sent it may be fast.
MAX_AHEAD = timedelta(hours=1)

_REQUIRED = ("tenant_id", "event_id", "time", "event_type")
_TEXTS = {"page_url": MAX_URL_LENGTH, "referrer": MAX_URL_LENGTH, "device_type": MAX_DEVICE_TYPE_LENGTH}
_COUNTRY = re.compile("[A-Z]{2}")
FIELDS = frozenset((*_REQUIRED, "session_id", "user_id", "properties", "country", *_TEXTS))

Reason = Literal[
    "not_json",
    "too_large",
    "too_deep",
    "unknown_field",
    "missing",
    "wrong_type",
    "not_a_uuid",
    "not_a_time",
    "time_without_zone",
    "time_too_old",
    "time_in_the_future",
    "too_long",
    "empty",
    "nul_character",
    "not_text",
    "not_a_country",
    "out_of_range",
    "not_a_number",
]


class InvalidEventError(ValueError):
    """What was sent cannot be stored; names the reason and the field, never the value.

    Attributes:
        reason: one of :data:`Reason`.
        field: the field it is about, None when it is the whole.
    """

    def __init__(self, reason: Reason, field: str | None = None) -> None:
        super().__init__(reason if field is None else f"{reason}: {field}")
        self.reason = reason
        self.field = field

    @property
    def code(self) -> str:
        """What a dead letter carries: ``reason`` or ``reason:field``."""
        return self.reason if self.field is None else f"{self.reason}:{self.field}"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One live event, as ``analytics.events`` has it; ``origin`` and ``load_id`` are the processor's to say.

    Attributes:
        tenant_id: whose.
        event_id: with ``tenant_id`` its identity.
        time: when it happened, aware, UTC.
        event_type: page_view, product_view, …; at most ``MAX_EVENT_TYPE_LENGTH`` printable characters.
        session_id: visit it belongs to.
        user_id: shopper within the tenant, None for a visitor who is not logged in.
        page_url: page it happened on.
        referrer: page that led there.
        properties: what else is known: JSON without NUL characters and infinite numbers.
        device_type: mobile, desktop, tablet, …
        country: ISO 3166 alpha-2, upper case.
    """

    tenant_id: UUID
    event_id: UUID
    time: datetime
    event_type: str
    session_id: UUID | None = None
    user_id: int | None = None
    page_url: str | None = None
    referrer: str | None = None
    properties: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    device_type: str | None = None
    country: str | None = None


def encode(event: StreamEvent, *, at: datetime | None = None) -> bytes:
    """Return the event as one JSON object, UTF-8, fields that are None left out.

    Args:
        event: to be written.
        at: when it is accepted, for the bounds of its time; now unless given.

    Raises:
        InvalidEventError: it could not be stored.
    """
    content: dict[str, Any] = {
        "tenant_id": str(event.tenant_id),
        "event_id": str(event.event_id),
        "time": event.time.isoformat() if isinstance(event.time, datetime) else event.time,
        "event_type": event.event_type,
    }
    for name in ("session_id", "user_id", "page_url", "referrer", "device_type", "country"):
        value = getattr(event, name)
        if value is not None:
            content[name] = str(value) if isinstance(value, UUID) else value
    if event.properties:
        content["properties"] = dict(event.properties) if isinstance(event.properties, Mapping) else event.properties
    _event(content, at or datetime.now(UTC), nul_possible=True)
    try:
        payload = to_json(content)
    except (PydanticSerializationError, ValueError):
        raise InvalidEventError("not_json") from None
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidEventError("too_large")
    return payload


def decode(payload: bytes, *, at: datetime | None = None) -> StreamEvent:
    """Return the event that was written as ``payload``.

    Args:
        payload: one JSON object, as :func:`encode` writes it.
        at: when it was accepted, for the bounds of its time; now unless given. A message that is delivered again
            must not be judged otherwise than before, so the processor gives what its position in the queue says.

    Raises:
        InvalidEventError: it cannot be stored.
    """
    if len(payload) > MAX_EVENT_BYTES:
        raise InvalidEventError("too_large")
    try:
        content = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidEventError("too_deep" if "recursion limit" in str(error) else "not_json") from None
    if not isinstance(content, dict):
        raise InvalidEventError("not_json")
    # The only way in which a NUL can stand in JSON; looked for once here, and not in every string.
    return _event(content, at or datetime.now(UTC), nul_possible=b"\\u0000" in payload)


def tenant_named(payload: bytes) -> UUID | None:
    """Return the tenant that a payload, however invalid, says it is of: whose it is to be erased with."""
    try:
        content = from_json(payload)
        return UUID(content["tenant_id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _event(content: Mapping[str, Any], at: datetime, *, nul_possible: bool) -> StreamEvent:
    if not content.keys() <= FIELDS:
        raise InvalidEventError("unknown_field")
    for name in _REQUIRED:
        if content.get(name) is None:
            raise InvalidEventError("missing", name)
    get = content.get
    tenant_id = _uuid("tenant_id", content["tenant_id"])
    # Erasure looks for the tenant's id as PostgreSQL writes it.
    if str(tenant_id) != content["tenant_id"]:
        raise InvalidEventError("not_a_uuid", "tenant_id")
    session_id, properties = get("session_id"), get("properties")
    for name, longest in _TEXTS.items():
        value = get(name)
        if value is not None:
            _text(name, value, longest, nul_possible=nul_possible)
    event_type = _text("event_type", content["event_type"], MAX_EVENT_TYPE_LENGTH, nul_possible=nul_possible)
    if not event_type.isprintable() or event_type.isspace():
        raise InvalidEventError("not_text", "event_type")
    if properties is not None:
        _check_properties(properties, nul_possible=nul_possible)
    return StreamEvent(
        tenant_id,
        _uuid("event_id", content["event_id"]),
        _time(content["time"], at),
        event_type,
        None if session_id is None else _uuid("session_id", session_id),
        _user_id(get("user_id")),
        get("page_url"),
        get("referrer"),
        properties or MappingProxyType({}),
        get("device_type"),
        _country(get("country")),
    )


def _user_id(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int:
        raise InvalidEventError("wrong_type", "user_id")
    if not 1 <= value <= MAX_USER_ID:
        raise InvalidEventError("out_of_range", "user_id")
    return value


def _country(value: object) -> str | None:
    if value is None:
        return None
    if type(value) is not str:
        raise InvalidEventError("wrong_type", "country")
    if not _COUNTRY.fullmatch(value):
        raise InvalidEventError("not_a_country", "country")
    return value


def _uuid(name: str, value: object) -> UUID:
    if type(value) is not str:
        raise InvalidEventError("wrong_type", name)
    # UUID() takes braces, "urn:uuid:" and hyphens anywhere.
    if len(value) != 36 or value[8] != "-" or value[13] != "-" or value[18] != "-" or value[23] != "-":
        raise InvalidEventError("not_a_uuid", name)
    try:
        return UUID(value)
    except ValueError:
        raise InvalidEventError("not_a_uuid", name) from None


def _text(name: str, value: object, longest: int, *, nul_possible: bool) -> str:
    if type(value) is not str:
        raise InvalidEventError("wrong_type", name)
    if not value:
        raise InvalidEventError("empty", name)
    if len(value) > longest:
        raise InvalidEventError("too_long", name)
    if nul_possible:
        _check_characters(name, value)
    return value


def _check_characters(name: str, value: str) -> None:
    """Refuse what PostgreSQL stores neither as text nor as jsonb."""
    if "\x00" in value:
        raise InvalidEventError("nul_character", name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidEventError("not_text", name) from None


def _time(value: object, at: datetime) -> datetime:
    if type(value) is not str:
        raise InvalidEventError("wrong_type", "time")
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidEventError("not_a_time", "time") from None
    if moment.tzinfo is None:
        raise InvalidEventError("time_without_zone", "time")
    # Comparing and not subtracting: year 1 has no year before it.
    if moment < at - MAX_AGE:
        raise InvalidEventError("time_too_old", "time")
    if moment > at + MAX_AHEAD:
        raise InvalidEventError("time_in_the_future", "time")
    return moment.astimezone(UTC)


def _check_properties(properties: object, *, nul_possible: bool) -> None:
    if not isinstance(properties, dict):
        raise InvalidEventError("wrong_type", "properties")
    level: list[Any] = [properties]
    for _ in range(MAX_PROPERTIES_DEPTH):
        below: list[Any] = []
        for value in level:
            below.extend(_within(value, nul_possible=nul_possible))
        if not below:
            return
        level = below
    raise InvalidEventError("too_deep", "properties")


def _within(value: object, *, nul_possible: bool) -> Iterable[Any]:
    """Check one value of the properties, and return those that it consists of."""
    name = "properties"
    match value:
        case dict():
            if nul_possible:
                for key in value:
                    if type(key) is not str:
                        raise InvalidEventError("wrong_type", name)
                    _check_characters(name, key)
            return value.values()
        case list():
            return value
        case str():
            if nul_possible:
                _check_characters(name, value)
        case float():
            if not math.isfinite(value):
                raise InvalidEventError("not_a_number", name)
        case None | int():
            pass
        case _:
            raise InvalidEventError("wrong_type", name)
    return ()
