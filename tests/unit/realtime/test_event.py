"""What a live event may be: whatever cannot be stored is told by a reason, before it is accepted and afterwards."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.realtime.event import (
    MAX_AGE,
    MAX_AHEAD,
    MAX_EVENT_BYTES,
    InvalidEventError,
    StreamEvent,
    decode,
    encode,
    tenant_named,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
TENANT = UUID("11111111-1111-4111-8111-111111111111")
EVENT = UUID("22222222-2222-4222-8222-222222222222")
BARE: dict[str, Any] = {
    "tenant_id": str(TENANT),
    "event_id": str(EVENT),
    "time": "2026-11-01T11:59:00+00:00",
    "event_type": "page_view",
}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def written(**changes: Any) -> bytes:
    return json.dumps({name: value for name, value in (BARE | changes).items() if value != "left out"}).encode()


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "not_json"),
    "no JSON": (b"{", "not_json"),
    "invalid UTF-8": (written().replace(b"page_view", b"page\xff"), "not_json"),
    "half a surrogate": (written(page_url="\ud800"), "not_json"),
    "a list": (b"[]", "not_json"),
    "a raw NUL": (written().replace(b"page_view", b"page\x00"), "not_json"),
    "not a number": (written(properties={"a": float("nan")}), "not_json"),
    "infinite by its exponent": (written(properties={"a": "X"}).replace(b'"X"', b"1e999"), "not_a_number:properties"),
    "too large": (written(properties={"a": "x" * MAX_EVENT_BYTES}), "too_large"),
    "deep properties": (written(properties={"a": nested(20)}), "too_deep:properties"),
    "deeper than a parser recurses": (b'{"properties":' + b"[" * 30_000 + b"]" * 30_000 + b"}", "too_deep"),
    "a field that there is not": (written(tenant="x"), "unknown_field"),
    "no tenant": (written(tenant_id="left out"), "missing:tenant_id"),
    "no id": (written(event_id=None), "missing:event_id"),
    "no time": (written(time="left out"), "missing:time"),
    "no type": (written(event_type="left out"), "missing:event_type"),
    "a tenant that is no UUID": (written(tenant_id="shop"), "not_a_uuid:tenant_id"),
    "a tenant as erasure does not find it": (written(tenant_id=TENANT.hex), "not_a_uuid:tenant_id"),
    "an id in braces": (written(event_id="{" + str(EVENT) + "}"), "not_a_uuid:event_id"),
    "a session that is a number": (written(session_id=7), "wrong_type:session_id"),
    "a user that is text": (written(user_id="7"), "wrong_type:user_id"),
    "a user that is a truth value": (written(user_id=True), "wrong_type:user_id"),
    "a user that is a fraction": (written(user_id=7.0), "wrong_type:user_id"),
    "a user beyond 64 bits": (written(user_id=2**63), "out_of_range:user_id"),
    "a user below one": (written(user_id=0), "out_of_range:user_id"),
    "a time that is a number": (written(time=1_790_000_000), "wrong_type:time"),
    "a time that is none": (written(time="yesterday"), "not_a_time:time"),
    "a time without a zone": (written(time="2026-11-01T11:59:00"), "time_without_zone:time"),
    "a day": (written(time="2026-11-01"), "time_without_zone:time"),
    "the year 1": (written(time="0001-01-01T00:00:00+14:00"), "time_too_old:time"),
    "the year 9999": (written(time="9999-12-31T23:59:59-14:00"), "time_in_the_future:time"),
    "an empty type": (written(event_type=""), "empty:event_type"),
    "a blank type": (written(event_type="  "), "not_text:event_type"),
    "a type with a line break": (written(event_type="a\nb"), "not_text:event_type"),
    "a long type": (written(event_type="x" * 51), "too_long:event_type"),
    "an address that is a number": (written(page_url=1), "wrong_type:page_url"),
    "a NUL in an address": (written(page_url="a\x00"), "nul_character:page_url"),
    "a NUL in a property": (written(properties={"a": [{"b": "\x00"}]}), "nul_character:properties"),
    "a NUL in a property's name": (written(properties={"a\x00": 1}), "nul_character:properties"),
    "properties that are a list": (written(properties=[1]), "wrong_type:properties"),
    "a country in lower case": (written(country="de"), "not_a_country:country"),
    "a country by its name": (written(country="Germany"), "not_a_country:country"),
    "a country that is a number": (written(country=1), "wrong_type:country"),
    "a long device": (written(device_type="x" * 21), "too_long:device_type"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_stored_is_refused_with_a_reason_and_without_its_value(what: str) -> None:
    payload, code = REFUSED[what]
    with pytest.raises(InvalidEventError) as refused:
        decode(payload, at=NOW)
    assert refused.value.code == code
    assert str(refused.value).replace(": ", ":") == code


def test_the_bounds_of_time_are_those_of_the_moment_of_acceptance() -> None:
    for moment, fits in (
        (NOW - MAX_AGE, True),
        (NOW - MAX_AGE - timedelta(microseconds=1), False),
        (NOW + MAX_AHEAD, True),
        (NOW + MAX_AHEAD + timedelta(microseconds=1), False),
    ):
        payload = written(time=moment.isoformat())
        if fits:
            assert decode(payload, at=NOW).time == moment
        else:
            with pytest.raises(InvalidEventError):
                decode(payload, at=NOW)


def test_a_time_in_another_zone_is_the_same_instant_in_utc() -> None:
    event = decode(written(time="2026-11-01T13:59:00.123456+02:00"), at=NOW)
    assert event.time == datetime(2026, 11, 1, 11, 59, 0, 123456, tzinfo=UTC)
    assert event.time.tzinfo is UTC
    eastern = StreamEvent(TENANT, EVENT, event.time.astimezone(timezone(timedelta(hours=-5))), "click")
    assert decode(encode(eastern, at=NOW), at=NOW).time == event.time


def test_what_is_not_sent_in_the_first_place_is_refused_for_the_same_reasons() -> None:
    good = {"tenant_id": TENANT, "event_id": EVENT, "time": NOW, "event_type": "click"}
    for changes, code in (
        ({"time": NOW.replace(tzinfo=None)}, "time_without_zone:time"),
        ({"page_url": "\ud800"}, "not_text:page_url"),
        ({"properties": {"a": float("inf")}}, "not_a_number:properties"),
        ({"properties": {"a": {1, 2}}}, "wrong_type:properties"),
        ({"properties": {1: 2}}, "wrong_type:properties"),
        ({"user_id": "7"}, "wrong_type:user_id"),
        ({"properties": {"a": "ü" * MAX_EVENT_BYTES}}, "too_large"),
    ):
        values: dict[str, Any] = good | changes
        with pytest.raises(InvalidEventError) as refused:
            encode(StreamEvent(**values), at=NOW)
        assert refused.value.code == code


TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
EVENTS = st.builds(
    StreamEvent,
    tenant_id=st.uuids(),
    event_id=st.uuids(),
    time=st.datetimes(
        (NOW - MAX_AGE).replace(tzinfo=None), (NOW + MAX_AHEAD).replace(tzinfo=None), timezones=st.just(UTC)
    ),
    event_type=st.sampled_from(["page_view", "Order Completed", "été"]),
    session_id=st.none() | st.uuids(),
    user_id=st.none() | st.integers(1, 2**63 - 1),
    page_url=st.none() | TEXT,
    referrer=st.none() | TEXT,
    properties=st.dictionaries(TEXT, JSON, max_size=4),
    device_type=st.none() | st.sampled_from(["mobile", "desktop"]),
    country=st.none() | st.sampled_from(["DE", "US"]),
)


@settings(max_examples=60, deadline=None)
@given(EVENTS)
def test_every_event_that_is_written_is_read_as_it_was(event: StreamEvent) -> None:
    read = decode(encode(event, at=NOW), at=NOW)
    assert {name: getattr(read, name) for name in StreamEvent.__slots__ if name != "properties"} == {
        name: getattr(event, name) for name in StreamEvent.__slots__ if name != "properties"
    }
    assert dict(read.properties) == dict(event.properties)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused_and_breaks_nothing(payload: bytes) -> None:
    with suppress(InvalidEventError):
        decode(payload, at=NOW)
    tenant_named(payload)


def test_a_tenant_is_known_from_a_message_that_is_otherwise_invalid() -> None:
    assert tenant_named(written(event_type=None)) == TENANT
    assert tenant_named(written(tenant_id=TENANT.hex.upper())) == TENANT
    assert tenant_named(b'{"tenant_id": 7}') is None
    assert tenant_named(b"\xff") is None
