"""The CDNOW purchase log: reading it, line by line, with every line accounted for.

Source and known answers: ``data/README.md``. A line is: customer, day (yyyymmdd), number of CDs, dollars.
"""

import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from orchestration.loading.copy_loader import LoadError, Reject
from orchestration.settings import PROJECT_ROOT

SHIPPED_FILE = PROJECT_ROOT / "data" / "cdnow_master.txt.gz"
SHIPPED_SHA256 = "ce9d3785b68a7d9d27120947dd510aec663c667b96ac0314988cbecbf2459436"
SHIPPED_ROWS = 69_659

_HEADER = ("customer_id", "date", "number_of_cds", "dollar_value")

# No line of the log is longer than 40 bytes; one beyond this is not read into memory as a whole.
_LONGEST_LINE = 1_000
# Ids below the running shop's, see id_spaces; quantities and amounts far above the log's largest (99 and 1,286.01).
_CUSTOMER = re.compile(rb"\d{1,9}", re.ASCII)
_DAY = re.compile(rb"\d{8}", re.ASCII)
_CDS = re.compile(rb"\d{1,6}", re.ASCII)
_DOLLARS = re.compile(rb"(\d{1,9})(?:\.(\d{1,2}))?", re.ASCII)


class CdnowFileError(LoadError):
    """The file cannot be loaded at all; the message names it and the way out. Nothing was changed."""


@dataclass(frozen=True)
class Purchase:
    """One row of the log.

    Attributes:
        row: its number among the file's rows, from 1; the header is not one.
        cents: its dollars, in hundredths.
    """

    row: int
    customer: int
    day: date
    cds: int
    cents: int


@dataclass(frozen=True)
class CdnowLog:
    """A file as read: ``rows_read == len(purchases) + len(rejects)``.

    Attributes:
        exact_duplicates: rows that repeat an earlier row in all four fields; kept, for nothing tells two purchases
            of the same kind on one day from one that was written twice.
        zero_dollar_rows: rows of 0.00 dollars; kept.
        indivisible_rows: rows whose dollars are not a whole number of cents per CD.
    """

    path: Path
    rows_read: int
    purchases: tuple[Purchase, ...]
    rejects: tuple[Reject, ...]
    exact_duplicates: int
    zero_dollar_rows: int
    indivisible_rows: int

    @property
    def cents(self) -> int:
        return sum(purchase.cents for purchase in self.purchases)


def _lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """Yield each line with its number, or None for one that is too long to be one of this log."""
    try:
        with gzip.open(path, "rb") as stream:
            number = 0
            while line := stream.readline(_LONGEST_LINE):
                number += 1
                complete = line.endswith(b"\n") or len(line) < _LONGEST_LINE
                yield number, line if complete else None
                while not complete:
                    rest = stream.readline(_LONGEST_LINE)
                    complete = rest.endswith(b"\n") or len(rest) < _LONGEST_LINE
    except FileNotFoundError:
        raise CdnowFileError(
            f"{path} does not exist: name a file, or restore the shipped one from version control"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise CdnowFileError(
            f"{path} cannot be read as gzip, it is truncated or corrupt ({error}): get it again"
        ) from None


def _day(text: bytes) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:])) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _parse(row: int, line: int, text: bytes | None) -> Purchase | Reject:
    fields = (text or b"").split()
    if text is None or len(fields) != len(_HEADER):
        found = f"has {len(fields)} fields" if text is not None else f"is longer than {_LONGEST_LINE} bytes"
        return Reject(line, None, f"{found}, {len(_HEADER)} fields are expected")
    customer, day, cds, dollars = fields
    bought_on, amount = _day(day), _DOLLARS.fullmatch(dollars)
    if not _CUSTOMER.fullmatch(customer) or int(customer) == 0:
        return Reject(line, "customer_id", "is not a whole number from 1 to 999999999")
    if bought_on is None:
        return Reject(line, "date", "is not a day written yyyymmdd")
    if not _CDS.fullmatch(cds) or int(cds) == 0:
        return Reject(line, "number_of_cds", "is not a whole number from 1 to 999999")
    if amount is None:
        return Reject(line, "dollar_value", "is not an amount of at most 999999999.99 with at most two decimals")
    cents = int(amount[1]) * 100 + int((amount[2] or b"").ljust(2, b"0"))
    return Purchase(row, int(customer), bought_on, int(cds), cents)


def _require_header(path: Path, first: tuple[int, bytes | None] | None) -> None:
    names = tuple(field.decode("ascii", "replace") for field in (first[1] or b"").split()) if first else ()
    if names != _HEADER:
        raise CdnowFileError(f"{path} does not begin with the header '{' '.join(_HEADER)}': it is another file")


def read_log(path: Path) -> CdnowLog:
    """Read a log of the CDNOW format; a row that cannot be parsed is a reject with its line, column and reason.

    Raises:
        CdnowFileError: missing, truncated, corrupt, without the header, or without a single usable row.
    """
    lines = _lines(path)
    _require_header(path, next(lines, None))
    purchases: list[Purchase] = []
    rejects: list[Reject] = []
    rows = 0
    for rows, (number, text) in enumerate(lines, start=1):
        parsed = _parse(rows, number, text)
        if isinstance(parsed, Reject):
            rejects.append(parsed)
        else:
            purchases.append(parsed)
    if not purchases:
        raise CdnowFileError(f"{path} holds no usable row ({rows} read): loading it would delete what is loaded now")
    kinds = Counter((purchase.customer, purchase.day, purchase.cds, purchase.cents) for purchase in purchases)
    return CdnowLog(
        path=path,
        rows_read=rows,
        purchases=tuple(purchases),
        rejects=tuple(rejects),
        exact_duplicates=len(purchases) - len(kinds),
        zero_dollar_rows=sum(purchase.cents == 0 for purchase in purchases),
        indivisible_rows=sum(purchase.cents % purchase.cds != 0 for purchase in purchases),
    )


def read_shipped_log() -> CdnowLog:
    """Read the log that the repository ships.

    Raises:
        CdnowFileError: it is not the file that was shipped.
    """
    path = SHIPPED_FILE
    restore = f"restore it with `git checkout -- {path.relative_to(PROJECT_ROOT)}`"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        raise CdnowFileError(f"{path} does not exist: {restore}") from None
    if digest != SHIPPED_SHA256:
        raise CdnowFileError(
            f"{path} is not the file that was shipped (its SHA-256 begins {digest[:12]}): {restore}, "
            "or name a file of your own in CAPSTONE_CDNOW_FILE"
        )
    log = read_log(path)
    if log.rows_read != SHIPPED_ROWS or log.rejects:
        raise CdnowFileError(f"{path} was read as {log.rows_read} rows, {SHIPPED_ROWS} are in it: {restore}")
    return log
