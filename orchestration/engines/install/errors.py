"""What can go wrong during set-up. Every message says what to do next."""

from pathlib import Path

# A failing compiler says what it minds in its last lines, apt in its last three.
LOG_LINES_SHOWN = 15


class InstallError(RuntimeError):
    """Set-up cannot go on."""


class UnsupportedMachineError(InstallError):
    """Set-up does not know how to install servers on this system."""


class PrivilegeError(InstallError):
    """Something has to be installed, and this user may not."""


class StepFailedError(InstallError):
    """A command of a step failed; shows the end of its log and where the rest is."""

    def __init__(self, title: str, reason: str, log: Path) -> None:
        try:
            lines = log.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        end = "\n".join(f"    | {line}" for line in lines[-LOG_LINES_SHOWN:])
        super().__init__(
            f"failed: {title}\n  {reason}\n{end}\n  The whole log: {log}\n"
            "  Once the cause is mended, run the same command again: it goes on from here."
        )
