"""Reading the CDNOW log: the shipped file, other files, damaged ones, and rows that cannot be parsed."""

import gzip
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.loading import cdnow_file
from orchestration.loading.cdnow_file import CdnowFileError, Purchase, read_log, read_shipped_log
from orchestration.loading.copy_loader import Reject

HEADER = b" customer_id  date number_of_cds  dollar_value\r\n"


def written(path: Path, lines: Iterable[bytes], header: bytes = HEADER) -> Path:
    with gzip.open(path, "wb") as stream:
        stream.write(header + b"".join(line + b"\r\n" for line in lines))
    return path


def test_the_shipped_log_is_whole() -> None:
    log = read_shipped_log()
    assert (log.rows_read, len(log.purchases), log.rejects) == (69_659, 69_659, ())
    assert len({purchase.customer for purchase in log.purchases}) == 23_570
    assert (log.exact_duplicates, log.zero_dollar_rows, log.indivisible_rows) == (255, 80, 18_269)
    assert log.cents == 250_031_563
    assert log.purchases[0] == Purchase(1, 1, date(1997, 1, 1), 1, 1_177)


def test_rows_that_cannot_be_parsed_are_rejected_with_line_and_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    log = read_log(
        written(
            tmp_path / "log.gz",
            [
                b" 00001 19970101  1   11.77",
                b" 00002 19970230  1   12.00",
                b" zzzzz 19970112  5   77.00",
                b" 00003 19970102  0   20.76",
                b" 00004 19970102  2   20.765",
                b" 00005 19970102  2",
                b"",
                b" 00006 19970102  2   " + b"9" * 2_000,
                b" 00007 19970102  2   -1.00",
                b"\xff\xfe 19970102  2   1.00",
                b" 00000 19970102  2   1.00",
                b" 00008 19970103  3   0.5",
            ],
        )
    )
    assert log.rows_read == 12
    assert [(purchase.row, purchase.customer, purchase.cents) for purchase in log.purchases] == [
        (1, 1, 1_177),
        (12, 8, 50),
    ]
    assert [(reject.line, reject.column) for reject in log.rejects] == [
        (3, "date"),
        (4, "customer_id"),
        (5, "number_of_cds"),
        (6, "dollar_value"),
        (7, None),
        (8, None),
        (9, None),
        (10, "dollar_value"),
        (11, "customer_id"),
        (12, "customer_id"),
    ]
    assert all("zzzzz" not in reject.reason for reject in log.rejects)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line), max_size=20))
def test_every_row_is_either_a_purchase_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    good = b" 00001 19970101  1   11.77"
    log = read_log(written(tmp_path_factory.mktemp("log") / "log.gz", [good, *lines]))
    assert log.rows_read == len(lines) + 1 == len(log.purchases) + len(log.rejects)
    assert all(isinstance(reject, Reject) and 3 <= reject.line <= len(lines) + 2 for reject in log.rejects)


@pytest.mark.parametrize("cut", [0, 5, 200, 20_000])
def test_a_truncated_file_is_named(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(cdnow_file.SHIPPED_FILE.read_bytes()[:cut])
    with pytest.raises(CdnowFileError, match=r"cut\.gz"):
        read_log(path)


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    content = bytearray(cdnow_file.SHIPPED_FILE.read_bytes())
    content[50_000:50_100] = bytes(100)
    path = tmp_path / "corrupt.gz"
    path.write_bytes(content)
    with pytest.raises(CdnowFileError, match=r"corrupt\.gz cannot be read as gzip"):
        read_log(path)


def test_a_missing_file_a_wrong_header_and_a_file_without_rows_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CdnowFileError, match="does not exist"):
        read_log(tmp_path / "missing.gz")
    with pytest.raises(CdnowFileError, match="does not begin with the header"):
        read_log(written(tmp_path / "other.gz", [b"a,b"], header=b"x,y\n"))
    with pytest.raises(CdnowFileError, match="no usable row"):
        read_log(written(tmp_path / "empty.gz", []))


def test_a_changed_copy_of_the_shipped_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cdnow_file, "PROJECT_ROOT", tmp_path)
    monkeypatch.setattr(cdnow_file, "SHIPPED_FILE", written(tmp_path / "log.gz", [b" 00001 19970101  1   11.77"]))
    with pytest.raises(CdnowFileError, match=r"not the file that was shipped.*git checkout -- log\.gz"):
        read_shipped_log()
