"""A stream processor that kills itself after one of its steps: argument 1, none to live until it is killed."""

import logging
import os
import signal
import sys
from threading import Event

from orchestration.realtime.processor import Processor


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    fatal = sys.argv[1]

    def die(step: str) -> None:
        if step == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    stop = Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    Processor("na", batch=100, stale_seconds=0.5, at_step=die).run(stop)


if __name__ == "__main__":
    main()
