"""Alerts: one line of JSON per failed run, in a file that a log shipper or a pager can follow."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from orchestration.settings import Settings

# Enough to say what broke. The rest of an error may quote a row, and a row is somebody's.
_ERROR_LENGTH = 300


@dataclass(frozen=True)
class Alert:
    """A run that failed: when (UTC, ISO 8601), which, where, and the first line of why."""

    at: str
    run_id: str
    job: str
    cell: str | None
    step: str | None
    error: str


def alerts_file(settings: Settings) -> Path:
    """Return the file that alerts are appended to."""
    return settings.logs / "alerts.jsonl"


def append(alert: Alert, settings: Settings) -> None:
    """Append one alert; a single write, so that two failures at once do not mix their lines."""
    path = alerts_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    first_line = alert.error.strip().partition("\n")[0][:_ERROR_LENGTH]
    line = json.dumps({**asdict(alert), "error": first_line}) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
