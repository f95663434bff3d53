"""Files of events are read line by line: every line is a record or a reject with its number and reason."""

import gzip
from pathlib import Path

import pytest

from orchestration.loading import event_records
from orchestration.loading.event_file import EventFile, format_of, read_whole
from orchestration.loading.event_records import START, CsvRecords, JsonRecords, RecordBlock
from orchestration.loading.import_errors import ImportFileError

HEADER = b"t,kind,note\n"


def csv_blocks(path: Path, content: bytes, block_bytes: int = event_records.BLOCK_BYTES) -> list[RecordBlock]:
    path = path / "events.csv"
    path.write_bytes(content)
    return list(CsvRecords(read_whole(path), ",", ("t", "kind", "note"), block_bytes).blocks())


def records(blocks: list[RecordBlock]) -> dict[int, tuple[object, ...]]:
    return {
        int(line): values
        for block in blocks
        for line, values in zip(
            block.lines, zip(*(column.to_list() for column in block.columns.values()), strict=True), strict=True
        )
    }


def rejects(blocks: list[RecordBlock]) -> dict[int, str]:
    return {reject.line: reject.reason for block in blocks for reject in block.rejects}


def test_lines_of_any_ending_are_records_with_their_numbers(tmp_path: Path) -> None:
    blocks = csv_blocks(tmp_path, b"\xef\xbb\xbft,kind,note\r\n1,a,x\r\n2,b,\n3,c,z")
    assert records(blocks) == {2: ("1", "a", "x"), 3: ("2", "b", None), 4: ("3", "c", "z")}
    assert not rejects(blocks)


def test_what_is_no_record_is_rejected_alone(tmp_path: Path) -> None:
    good = b"1,a,x\n"
    blocks = csv_blocks(tmp_path, HEADER + good + b"2,b\n\n3,c\x00,z\n4,d,\xff\xfe\n5,e,f,g\n" + good)
    assert rejects(blocks) == {
        3: "has 2 fields, 3 are expected",
        4: "is empty",
        5: "holds a NUL byte",
        6: "is not valid UTF-8",
        7: "has 4 fields, 3 are expected",
    }
    assert set(records(blocks)) == {2, 8}


def test_quoted_fields_hold_commas_quotes_and_line_ends(tmp_path: Path) -> None:
    blocks = csv_blocks(tmp_path, HEADER + b'1,a,"x, ""y"""\n2,b,"one\n\ntwo"\n3,c,"z"\n')
    assert records(blocks) == {2: ("1", "a", 'x, "y"'), 3: ("2", "b", "one\n\ntwo"), 6: ("3", "c", "z")}
    assert not rejects(blocks)


def test_a_carriage_return_amid_a_line_shifts_no_other_line(tmp_path: Path) -> None:
    blocks = csv_blocks(tmp_path, HEADER + b"1,a,x\n2,b\rb,y\n3,c,\xe2\x80\xa8z\n")
    assert rejects(blocks) == {3: "has quotes or carriage returns where none can be"}
    assert records(blocks) == {2: ("1", "a", "x"), 4: ("3", "c", "\u2028z")}


def test_a_quote_that_is_not_closed_costs_one_line(tmp_path: Path) -> None:
    blocks = csv_blocks(tmp_path, HEADER + b'1,a,x\n2,b,"open\n3,c,z\n4,d,5" pipe\n5,e,w\n')
    assert rejects(blocks) == {3: "has quotes or carriage returns where none can be"}
    assert set(records(blocks)) == {2, 4, 5, 6}
    blocks = csv_blocks(tmp_path, HEADER + b'1,a,x\n2,b,"open\n3,c,z\n')
    assert rejects(blocks) == {3: "opens a quote that is not closed"}
    assert set(records(blocks)) == {2, 4}


@pytest.mark.parametrize("block_bytes", [1, 40, 64, 10_000])
def test_blocks_of_any_size_give_the_same_records(
    tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_records, "MAX_LINE_BYTES", 60)
    content = HEADER + b"".join(b'%d,a,"line\nof %d"\n%d,b,plain\n' % (each, each, each) for each in range(30))
    blocks = csv_blocks(tmp_path, content, block_bytes)
    found = records(blocks)
    assert len(found) == 60
    assert found[2] == ("0", "a", "line\nof 0")
    assert blocks[-1].end.offset == len(content)
    assert blocks[-1].end.line == content.count(b"\n") + 1
    assert not rejects(blocks)


def test_reading_goes_on_from_the_end_of_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_records, "MAX_LINE_BYTES", 60)
    path = tmp_path / "events.csv.gz"
    path.write_bytes(gzip.compress(HEADER + b"".join(b"%d,a,note of %d\n" % (each, each) for each in range(100))))
    reader = CsvRecords(read_whole(path), ",", ("t",), 100)
    whole = list(reader.blocks())
    assert len(whole) > 5
    for place, block in enumerate(whole):
        assert records(list(reader.blocks(block.end))) == records(whole[place + 1 :])
    assert records(list(reader.blocks(START))) == records(whole)


def test_a_line_without_end_is_skipped_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_records, "MAX_LINE_BYTES", 1000)
    blocks = csv_blocks(
        tmp_path, HEADER + b"1,a,x\n" + b"y" * 50_000 + b"\n2,b,z\n" + b"w" * 1_500 + b"\n3,c,v\n", 2_000
    )
    assert set(records(blocks)) == {2, 4, 6}
    assert set(rejects(blocks).values()) == {"is longer than 1000 bytes"}
    assert set(rejects(blocks)) == {3, 5}


def test_json_lines_are_judged_one_by_one(tmp_path: Path) -> None:
    deep = b'{"t": ' + b"[" * 40 + b"]" * 40 + b"}"
    very_deep = b'{"t": ' + b"[" * 5000 + b"]" * 5000 + b"}"
    path = tmp_path / "events.jsonl"
    lines = [
        b'\xef\xbb\xbf{"t": 1, "a": {"b": "x"}, "kv": [{"key": "k", "value": {"int_value": 7}}]}',
        b"not json",
        b"[1]",
        deep,
        very_deep,
        b'{"t": "a\\u0000b"}',
        b'{"t": "\\ud800"}',
        b'{"t": NaN}',
        b'{"t": "\xff"}',
        b'{"t": "a\\\\u0000b"}',
        b'{"t": 1e400}',
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    blocks = list(JsonRecords(read_whole(path), ("t", "a.b", "kv[k]", "kv", "none.there")).blocks())
    found = records(blocks)
    assert found[1] == ("1", "x", "7", '{"k":7}', None)
    assert found[10][0] == "a\\u0000b"
    assert set(rejects(blocks)) | set(found) == set(range(1, 12))
    assert {2, 3, 4, 5, 6, 7, 8, 9} <= set(rejects(blocks))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "does not exist"),
        ("empty.csv", b"", "is empty"),
        ("wide.csv", "t,kind\n".encode("utf-16"), "is UTF-16"),
        ("short.csv.gz", gzip.compress(b"t,kind\n" * 1000)[:-12], "is truncated or corrupt"),
        ("array.json", b'[{"t": 1}]', "is one JSON array"),
        ("cut.parquet", b"PAR1 and no more", "may be truncated"),
        ("what.dat", b"1", "give --format"),
    ],
    ids=["missing", "empty", "utf_16", "truncated_gzip", "json_array", "truncated_parquet", "unknown"],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImportFileError, match=message):
        read_whole(path)


def test_a_file_and_its_compression_are_the_same_file(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    plain.write_bytes(HEADER + b"1,a,x\n")
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    files: list[EventFile] = [read_whole(plain), read_whole(packed)]
    assert files[0].digest == files[1].digest
    assert [file.lines for file in files] == [2, 2]
    assert format_of(Path("x/events.NDJSON.gz")) == "jsonl"


@pytest.mark.parametrize("content", [b"only\n1\n", b"a,a\n1,2\n"], ids=["one_column", "a_column_twice"])
def test_a_header_that_is_none_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match="header"):
        CsvRecords(read_whole(path), ",", ())
