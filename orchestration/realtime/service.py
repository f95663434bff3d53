"""The stream processor as a process: its log, and its end in order."""

import gc
import logging
import os
import signal
import sys
from threading import Event
from types import FrameType

from orchestration.cells.regions import Cell
from orchestration.realtime.processor import Processor
from orchestration.realtime.recovery import StreamDamagedError
from orchestration.realtime.service_mark import mark_serving
from orchestration.settings import Settings

# Between looks at a queue that has to be recovered.
LOOK_SECONDS = 15.0


def serve(cell: Cell, settings: Settings, *, wait: bool = False) -> None:
    """Process the stream of ``cell`` until SIGTERM or SIGINT; the batch in hand is finished.

    Args:
        cell: whose.
        settings: of the platform.
        wait: for a queue that has to be recovered, where whoever started this would only start it again.

    Raises:
        StreamDamagedError: the queue is not what it was, see :mod:`orchestration.realtime.recovery`; unless ``wait``.
        EndpointError: the cell has no servers yet.
    """
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    stop = Event()

    def end(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, end)
    # A batch is tens of thousands of objects that no cycle holds: looking for cycles took a tenth of the time.
    gc.set_threshold(200_000, 20, 20)
    while not stop.is_set():
        try:
            Processor(cell, settings).run(stop, lambda: mark_serving(cell, settings, os.getpid()))
        except StreamDamagedError as error:
            if not wait:
                raise
            logging.getLogger(__name__).error("%s", error)
            stop.wait(LOOK_SECONDS)
