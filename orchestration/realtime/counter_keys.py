"""Where each number is in a cell's Redis, and how long it stays: the whole layout of the real-time counters.

::

    rt:<tenant>:totals                    hash    event type -> events, ever
    rt:<tenant>:minute:<YYYYmmddHHMM>     hash    event type -> events of that minute (UTC, the event's own time)
    rt:<tenant>:users:<YYYYmmddHHMM>      sketch  users seen in that minute
    rt:<tenant>:users:<YYYYmmddHHMM>:<t>  sketch  users seen in that minute with an event of type t
    rt:<tenant>:newest                    list    the newest events, as they were counted: milliseconds, user, type

The sums over all types are sums of fields, so they cannot disagree with them; unique users do not add up, so the
sketch of all types is kept beside those of one. Every key names its tenant as PostgreSQL writes the id: an erasure
finds it by that. No key is without a bound:

- ``totals`` has at most ``MAX_TYPES`` fields and :data:`OTHER`. Types of the shops' own funnel (:data:`KNOWN_TYPES`)
  always have theirs; of the others, those that come first. Whoever sends invented types fills the rest and then one
  field, and takes nobody's place among the known ones.
- keys of a minute expire ``KEPT_MINUTES`` after it has begun; an event that arrives later counts in the totals only.
- ``newest`` is cut to ``NEWEST_EVENTS`` and expires when nothing has come for as long. Once it was a stream, under
  another key: one that is left of it expires.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

PREFIX = "rt:"

# A window reaches at most an hour back, this minute included: the brief's 3600 seconds.
WINDOW_MINUTES = 60
# Four minutes more, so that the oldest minute of the hour can still be compared while it is looked at.
KEPT_MINUTES = WINDOW_MINUTES + 5
KEPT_SECONDS = KEPT_MINUTES * 60

# Not of the brief's one list of 10,000 but of every tenant's: 100 bytes each, 100 kB per tenant that is busy.
NEWEST_EVENTS = 1_000

KNOWN_TYPES = ("page_view", "product_view", "add_to_cart", "checkout_start", "purchase", "search", "click")
# Fields of a tenant's totals from which on further types share one. With the hour that an event's time may be ahead a
# tenant has at the very most 125 minutes of 41 sketches of 12 kB: 61 MB, for which it must name new users all the time.
MAX_TYPES = 32
# What further types are counted as. No type of an event can be called so: an empty one is refused.
OTHER = ""


def limits() -> tuple[int, str, int, int]:
    """Return what ``settle.lua`` goes by: fields, what is beyond them, newest events, and their seconds."""
    return MAX_TYPES, OTHER, NEWEST_EVENTS, KEPT_SECONDS


_MINUTE = "%Y%m%d%H%M"


def minute_of(moment: datetime) -> str:
    """Return the label of the minute in UTC that an aware time lies in, ``YYYYmmddHHMM``."""
    return moment.astimezone(UTC).strftime(_MINUTE)


def start_of(minute: str) -> datetime:
    """Return when a minute begins, by its label."""
    return datetime.strptime(minute, _MINUTE).replace(tzinfo=UTC)


def minutes_until(moment: datetime, count: int) -> list[str]:
    """Return the labels of ``count`` minutes, ascending, the last of which ``moment`` lies in."""
    return [minute_of(moment - timedelta(minutes=back)) for back in reversed(range(count))]


def of_tenant(tenant_id: UUID) -> str:
    """Return what all keys of a tenant begin with."""
    return f"{PREFIX}{tenant_id}:"


def totals(tenant_id: UUID) -> str:
    """Return the key of a tenant's totals."""
    return f"{of_tenant(tenant_id)}totals"


def minute(tenant_id: UUID, label: str) -> str:
    """Return the key of a tenant's counts of a minute."""
    return f"{of_tenant(tenant_id)}minute:{label}"


def users(tenant_id: UUID, label: str, event_type: str | None = None) -> str:
    """Return the key of a tenant's sketch of users of a minute, of one type or of all."""
    whole = f"{of_tenant(tenant_id)}users:{label}"
    return whole if event_type is None else f"{whole}:{event_type}"


def newest(tenant_id: UUID) -> str:
    """Return the key of a tenant's newest events."""
    return f"{of_tenant(tenant_id)}newest"


def newest_event(milliseconds: int, user: str, event_type: str) -> str:
    """Return an entry of the newest events: when, the shopper or nobody (empty), and the type, with spaces or not."""
    return f"{milliseconds} {user} {event_type}"


def read_newest_event(entry: bytes) -> tuple[bytes, bytes, bytes]:
    """Return what an entry of the newest events says: Unix time in milliseconds, shopper or nothing, type.

    Raises:
        ValueError: it is no such entry.
    """
    milliseconds, user, event_type = entry.split(b" ", 2)
    return milliseconds, user, event_type


def named_types(counted: Mapping[str, int], stored: Mapping[str, int] | None = None) -> frozenset[str]:
    """Return the types that are told apart for a tenant.

    Args:
        counted: its totals: what has a field keeps it.
        stored: events by type, of which the most frequent get the fields that are left.
    """
    named = {*KNOWN_TYPES, *counted} - {OTHER}
    fields = len({*counted} - {OTHER})
    for event_type in sorted(stored or {}, key=lambda each: (-(stored or {})[each], each)):
        if event_type not in named and fields < MAX_TYPES:
            named.add(event_type)
            fields += 1
    return frozenset(named)
