"""Counts live events, each exactly once: what acknowledges an entry of the queue is what counts it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from orchestration.realtime import counter_keys
from orchestration.realtime.event import StreamEvent

DEFAULT_STREAM = "stream:events"
DEFAULT_GROUP = "processor"

_SETTLE = Path(__file__).with_name("settle.lua")
_KNOWN = frozenset(counter_keys.KNOWN_TYPES)


class Counters:
    """The real-time counters of a cell, in the Redis that also has its queue; the layout is in ``counter_keys``.

    Args:
        client: of the cell's Redis, which is one process: keys are not spread over servers.
        stream: key of the queue.
        group: its consumer group.
    """

    def __init__(self, client: Any, *, stream: str = DEFAULT_STREAM, group: str = DEFAULT_GROUP) -> None:
        self._stream = stream
        self._group = group
        self._script = client.register_script(_SETTLE.read_text())

    def settle(self, settled: Sequence[tuple[str, StreamEvent | None]]) -> int:
        """Acknowledge and delete entries of the queue and count their events, all of it or nothing.

        An entry that is not pending any more has been settled before, and is not counted again.

        Args:
            settled: position of each entry, and its event where it is to be counted.

        Returns:
            How many entries this call acknowledged.

        Raises:
            redis.RedisError: Redis did not answer; whether it was done is not known, and repeating it is safe.
        """
        if not settled:
            return 0
        number_of: dict[tuple[int, str, int], int] = {}
        series: list[tuple[str, str, bool, str, int]] = []
        # Of a batch there are few tenants and fewer minutes: writing each of them once is half of the work here.
        tenants: dict[int, str] = {}
        minutes: dict[int, str] = {}
        numbers: list[int] = []
        users: list[str] = []
        for _, event in settled:
            if event is None:
                numbers.append(0)
                users.append("")
                continue
            tenant, minute = event.tenant_id.int, int(event.time.timestamp() // 60)
            key = (tenant, event.event_type, minute)
            number = number_of.get(key)
            if number is None:
                number = number_of[key] = len(number_of) + 1
                prefix = tenants.get(tenant)
                if prefix is None:
                    prefix = tenants[tenant] = counter_keys.of_tenant(event.tenant_id)
                label = minutes.get(minute)
                if label is None:
                    label = minutes[minute] = counter_keys.minute_of(event.time)
                expires = (minute + counter_keys.KEPT_MINUTES) * 60
                series.append((prefix, event.event_type, event.event_type in _KNOWN, label, expires))
            numbers.append(number)
            user = event.user_id
            users.append("" if user is None else str(user))
        arguments = (
            self._group,
            orjson.dumps(counter_keys.limits()),
            orjson.dumps(series),
            orjson.dumps(([position for position, _ in settled], numbers, users)),
        )
        return int(self._script(keys=(self._stream,), args=arguments))
