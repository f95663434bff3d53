"""Finding a server's process by what only it has: program, arguments and user. A pid file is never believed."""

import time
from collections.abc import Callable

import psutil

from orchestration.engines.server_user import ServerUser

# How often a condition is looked at while waiting, in seconds.
POLL_SECONDS = 0.05


def find(user: ServerUser, name: str, belongs: Callable[[list[str]], bool]) -> list[psutil.Process]:
    """Return the living processes called ``name`` that run as ``user`` and whose command line ``belongs``.

    The command line is readable to every user and in every container, which a process's working directory is not.
    """
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            # Each of these is a file to read, of each process of the machine: the one that rules out most goes first.
            if (
                process.name() == name
                and belongs(process.cmdline())
                and process.uids().real == user.uid
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except psutil.Error:
            # It has ended meanwhile, or is none of ours.
            continue
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process with this id exists, zombies not counted."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``condition`` holds, and return whether it did within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def wait_gone(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until ``processes`` have ended; return those that have not after ``seconds``."""

    def living() -> list[psutil.Process]:
        return [process for process in processes if process.is_running() and is_alive(process.pid)]

    wait_until(lambda: not living(), seconds)
    return living()
