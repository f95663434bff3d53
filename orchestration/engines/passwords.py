"""The generated passwords of this platform: made once, at first start, kept in one file that only its owner reads."""

import json
import os
import secrets
import stat
from pathlib import Path

from orchestration.cells import endpoints
from orchestration.cells.regions import CELLS
from orchestration.engines.atomic_file import write_atomically
from orchestration.engines.errors import EngineError
from orchestration.settings import Settings

# 24 bytes of the system's randomness: out of reach of guessing, and every character is safe in a URL.
PASSWORD_BYTES = 24

NAMES: tuple[str, ...] = (*endpoints.ROLES, *(f"redis_{cell}" for cell in CELLS))


def ensure(settings: Settings, *, servers_exist: bool) -> None:
    """Generate what is missing in ``secrets.json``; what is there is never changed.

    Args:
        settings: names the state directory.
        servers_exist: whether data directories exist already, whose superuser password cannot be made up anew.

    Raises:
        EngineError: the file is lost or damaged while the servers' data exist.
    """
    path = endpoints.secrets_file(settings)
    known = _read(path)
    if servers_exist and "superuser" not in known:
        raise EngineError(
            f"{path} is lost but the servers' data exist, and only it knows their passwords: "
            "restore it from a backup, or `capstone down --destroy` and begin anew"
        )
    missing = [name for name in NAMES if name not in known]
    if missing:
        known.update({name: secrets.token_urlsafe(PASSWORD_BYTES) for name in missing})
        write_atomically(path, json.dumps(known, indent=2) + "\n", mode=0o600, owner=owner_of_home(settings.home))
    elif stat.S_IMODE(path.stat().st_mode) != 0o600:
        path.chmod(0o600)


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except PermissionError:
        raise EngineError(f"{path} belongs to another user: run as its owner") from None
    except json.JSONDecodeError:
        content = None
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise EngineError(f"{path} is damaged: restore it from a backup, or `capstone down --destroy` and begin anew")
    return content


def owner_of_home(home: Path) -> tuple[int, int] | None:
    """Return the home's owner, so that a file that root adds stays readable to the one whose platform it is."""
    if os.geteuid() != 0:
        return None
    information = home.stat()
    return information.st_uid, information.st_gid
