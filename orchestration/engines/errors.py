"""What can go wrong with an engine. Every message names the thing, the value and the way out, never a password."""


class EngineError(RuntimeError):
    """A server or process of the platform cannot be used."""


class HomeError(EngineError):
    """The state directory cannot serve as one."""


class MissingEngineError(EngineError):
    """A server's program or extension is not installed."""


class PortTakenError(EngineError):
    """A port that the platform needs belongs to somebody else."""


class LockedError(EngineError):
    """Another process is at work on the same state directory."""


class DiskFullError(EngineError):
    """There is not enough space for a server to start or go on."""
