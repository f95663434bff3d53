"""JSON that holds its own SHA-256, so that a change or damage of it is found when it is read."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_SEAL = "sha256"


def _digest_of(content: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in content.items() if key != _SEAL}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(content: Mapping[str, Any]) -> str:
    """Return the text of ``content`` with its seal; what JSON does not know is written as its ``str``."""
    plain = json.loads(json.dumps(content, default=str))
    return json.dumps(plain | {_SEAL: _digest_of(plain)}, indent=2) + "\n"


def unsealed(text: bytes) -> dict[str, Any] | None:
    """Return what was sealed, without its seal; None if it is not what was written."""
    try:
        content = json.loads(text)
    except ValueError:
        return None
    if not isinstance(content, dict) or content.get(_SEAL) != _digest_of(content):
        return None
    return {key: value for key, value in content.items() if key != _SEAL}
