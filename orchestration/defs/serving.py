"""Whose DAGSTER_HOME serves this code location: the project's own, or nobody's."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestration.settings import get_settings

# `dg check defs` and `dagster definitions validate` set it: they record nothing, whatever loads the code for them.
VALIDATION_MARK = "DAGSTER_IS_DEFS_VALIDATION_CLI"

# Commands of `dagster` and `dg` that load this code and record runs. Webserver, daemon and `dagster dev` load no code
# themselves: they start a code server. Checks, listings, tests and an image's build record nothing.
_RECORDING_COMMANDS = (
    ("api", "grpc"),
    ("code-server", "start"),
    ("job", "execute"),
    ("job", "launch"),
    ("asset", "materialize"),
    ("launch",),
)


class WrongDagsterHomeError(RuntimeError):
    """The code location is served with another DAGSTER_HOME than the project's; the message says what to export."""


def records_runs(environ: Mapping[str, str], argv: Sequence[str]) -> bool:
    """Return whether this process loads the code to serve or run it, rather than to check or test it."""
    if environ.get(VALIDATION_MARK):
        return False
    if not argv or Path(argv[0]).name not in ("dagster", "dg", "__main__.py"):
        return False
    words = tuple(argument for argument in argv[1:] if not argument.startswith("-"))
    return any(words[: len(command)] == command for command in _RECORDING_COMMANDS)


def require_project_home() -> None:
    """Refuse to be served without the project's DAGSTER_HOME.

    Raises:
        WrongDagsterHomeError: DAGSTER_HOME is unset or names another folder while a server loads the code.
    """
    if not records_runs(os.environ, sys.argv):
        return
    wanted = get_settings().dagster_home
    actual = os.environ.get("DAGSTER_HOME")
    if actual and Path(actual).expanduser().resolve() == wanted.resolve():
        return
    found = f"DAGSTER_HOME is {actual!r}" if actual else "DAGSTER_HOME is not set"
    raise WrongDagsterHomeError(
        f"{found}: runs would be recorded outside the platform. Stop this server, then\n"
        f"    export DAGSTER_HOME={wanted}\n"
        "and start it again (`capstone up` makes that folder; CAPSTONE_HOME chooses another platform)"
    )
