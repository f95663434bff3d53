"""dbt's command, and what a process of it gets of this one's environment."""

import os
import sys
from pathlib import Path

# What a subprocess needs of this one. Everything else stays here: another cell's password is not dbt's business.
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE")


def dbt_executable() -> str:
    """Return dbt's command of this Python environment, whatever PATH says."""
    return str(Path(sys.executable).with_name("dbt"))


def inherited_environment() -> dict[str, str]:
    """Return the variables of this process that every process of dbt gets: none of the platform's settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ}
