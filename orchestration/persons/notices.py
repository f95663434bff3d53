"""What a person is told about each store: purpose, source and retention, as article 15 of the GDPR asks for them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import yaml

Access = Literal["exported", "searched", "none"]

_FILE = Path(__file__).with_name("notices.yml")


class NoticesError(ValueError):
    """``notices.yml`` is not usable; names the store and what is wrong."""


@dataclass(frozen=True)
class Notice:
    """One store's.

    Attributes:
        access: exported (its rows about the person are in the bundle), searched (copies are counted), or none.
        purpose, source, retention: in words for the person.
        why: of none: why nothing of a person is there, or where else it is.
    """

    access: Access
    purpose: str
    source: str
    retention: str
    why: str = ""


@lru_cache(maxsize=1)
def notices() -> dict[str, Notice]:
    """Return the notice of every store, by its name.

    Raises:
        NoticesError: an entry lacks something, or says something unknown.
    """
    content = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    found: dict[str, Notice] = {}
    for name, entry in content.items():
        try:
            notice = Notice(**entry)
        except TypeError as error:
            raise NoticesError(f"store {name!r}: {error}") from None
        if notice.access not in get_args(Access) or bool(notice.why) != (notice.access == "none"):
            raise NoticesError(f"store {name!r}: access is {notice.access!r}; `why` is for none, and for no other")
        found[name] = notice
    return found
