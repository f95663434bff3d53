"""A program that sends numbered events until all are accepted, and goes on where it was when it is started again.

Arguments: tenant, how many, file that says how many were accepted. What was sent when it was killed is sent again.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid5

from orchestration.realtime.event import StreamEvent, encode
from orchestration.realtime.queue import QueueError
from orchestration.realtime.redis_queue import RedisQueue

AT_ONCE = 25
START = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def numbered(tenant: UUID, number: int, day: datetime) -> StreamEvent:
    return StreamEvent(tenant, uuid5(tenant, str(number)), day, "page_view", user_id=number % 50 + 1)


def main() -> None:
    tenant, count, accepted = UUID(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    day = datetime.fromisoformat(sys.argv[4])
    queue = RedisQueue.of_cell("na")
    done = int(accepted.read_text() or 0) if accepted.exists() else 0
    while done < count:
        batch = range(done, min(done + AT_ONCE, count))
        try:
            queue.append([encode(numbered(tenant, number, day)) for number in batch])
        except QueueError:
            time.sleep(0.05)
            continue
        done = batch.stop
        anew = accepted.with_suffix(".new")
        anew.write_text(str(done))
        anew.replace(accepted)
        time.sleep(0.005)


if __name__ == "__main__":
    main()
