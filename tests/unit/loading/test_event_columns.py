"""A mapping makes events of columns; a value that does not fit refuses its line, with the column and the reason."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet
import pytest

from orchestration.loading.event_columns import HASHED_USERS_FROM, EventBlock, EventColumns
from orchestration.loading.event_file import read_whole
from orchestration.loading.event_mapping import PRESETS, Mapping, load_mapping, presets
from orchestration.loading.event_records import CsvRecords, JsonRecords, ParquetRecords
from orchestration.loading.import_errors import MappingError

TENANT = UUID(int=1)
NOW = datetime(2026, 3, 10, tzinfo=UTC)


def mapping(**parts: object) -> Mapping:
    least: dict[str, object] = {
        "description": "test",
        "formats": ["csv", "parquet", "jsonl"],
        "time": {"column": "t"},
        "event_type": {"column": "kind"},
        "event_id": {"from": "line"},
    }
    return Mapping.model_validate(least | parts)


def events(path: Path, wanted: Mapping, tenant: UUID = TENANT) -> EventBlock:
    file = read_whole(path)
    records: CsvRecords | JsonRecords | ParquetRecords
    if file.format == "csv":
        records = CsvRecords(file, wanted.delimiter, wanted.sources())
    elif file.format == "jsonl":
        records = JsonRecords(file, wanted.sources())
    else:
        records = ParquetRecords(file, wanted.sources())
    (block,) = records.blocks()
    return EventColumns(wanted, tenant, file.digest, NOW).events(block)


def of_csv(tmp_path: Path, content: str, wanted: Mapping, tenant: UUID = TENANT) -> EventBlock:
    path = tmp_path / "events.csv"
    path.write_text(content)
    return events(path, wanted, tenant)


def reasons(block: EventBlock) -> dict[int, str]:
    return {reject.line: f"{reject.column} {reject.reason}" for reject in block.rejects}


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T09:30:00Z",
        "2026-03-01 09:30:00 UTC",
        "2026-03-01 09:30:00+00",
        "2026-03-01T11:30:00.000+02:00",
        "2026-03-01 11:30:00 +0200",
        "2026-03-01T09:30Z",
        "2026-03-01T09:30:00.000000Z",
    ],
)
def test_a_time_is_read_as_it_was_meant(tmp_path: Path, written: str) -> None:
    block = of_csv(tmp_path, f"t,kind\n{written},view\n", mapping())
    assert reasons(block) == {}
    assert block.events["time"].to_pylist() == [datetime(2026, 3, 1, 9, 30, tzinfo=UTC)]


def test_times_that_are_none_are_refused_each_with_its_reason(tmp_path: Path) -> None:
    times = [
        "2026-03-01T09:30:00",
        "yesterday",
        "",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "2026-02-30T00:00:00Z",
        "2026-03-01T25:00:00Z",
        "2026-03-01",
        "1970-01-01T00:00:00Z",
        "2026-03-12T00:00:00Z",
    ]
    block = of_csv(tmp_path, "t,kind\n" + "".join(f"{each},view\n" for each in times), mapping())
    no_time = "t is no time such as 2026-03-01T09:30:00Z"
    assert reasons(block) == {
        2: "t has no time zone: say in the mapping which is meant (`zone`)",
        3: no_time,
        4: "t is missing",
        5: "t lies before 1990",
        6: "t lies in the future",
        7: no_time,
        8: no_time,
        9: no_time,
        10: "t lies before 1990",
        11: "t lies in the future",
    }
    assert block.events.num_rows == 0


def test_local_times_are_instants_by_the_mappings_zone(tmp_path: Path) -> None:
    content = "t,kind\n2025-07-01 12:00:00,a\n2025-10-26 02:30:00,b\n2025-03-30 02:30:00,c\n"
    block = of_csv(tmp_path, content, mapping(time={"column": "t", "zone": "Europe/Berlin"}))
    assert block.events["time"].to_pylist() == [datetime(2025, 7, 1, 10, tzinfo=UTC)]
    assert set(reasons(block)) == {3, 4}


@pytest.mark.parametrize(("kind", "number"), [("epoch_s", 1772357400), ("epoch_ms", 1772357400000)])
def test_numbers_are_times_since_1970(tmp_path: Path, kind: str, number: int) -> None:
    content = f"t,kind\n{number},a\n{number}x,b\n{2**63 - 1},c\n-1,d\n99999999999999999999,e\n"
    block = of_csv(tmp_path, content, mapping(time={"column": "t", "format": kind}))
    assert block.events["time"].to_pylist() == [datetime(2026, 3, 1, 9, 30, tzinfo=UTC)]
    assert set(reasons(block)) == {3, 4, 5, 6}


def test_values_of_a_wrong_type_refuse_their_line_only(tmp_path: Path) -> None:
    wanted = mapping(
        user_id={"column": "user", "type": "integer"},
        session_id={"column": "session", "type": "uuid"},
        country={"column": "country"},
        properties={
            "price": {"column": "price", "type": "number"},
            "n": {"column": "n", "type": "integer"},
            "new": {"column": "new", "type": "boolean"},
            "revenue": {"column": "price", "type": "number", "when": ["buy"]},
            "source": {"constant": 'a "b"'},
        },
    )
    one = "72d76fde-8bb3-4e00-8c23-a032dfed738c"
    lines = [
        f"view,7,{one},de,1.50,3,true",
        f"buy,7.0,{one.replace('-', '')},,+2.5,,",
        f"view,seven,{one},DE,1,1,1",
        "view,7,not-a-uuid,DE,1,1,1",
        f"view,7,{one},Germany,1,1,1",
        f"view,7,{one},DE,1.5.0,1,1",
        f"view,7,{one},DE,NaN,1,1",
        f"view,7,{one},DE,1,1.5,1",
        f"view,7,{one},DE,1,1,maybe",
        f"view,-7,{one},DE,1,1,1",
        f"view,{2**63},{one},DE,1,1,1",
        f",7,{one},DE,1,1,1",
        f"{'x' * 51},7,{one},DE,1,1,1",
    ]
    header = "t,kind,user,session,country,price,n,new\n"
    block = of_csv(tmp_path, header + "".join(f"2026-03-01T00:00:00Z,{each}\n" for each in lines), wanted)
    assert block.lines.tolist() == [2, 3]
    assert [json.loads(each) for each in block.events["properties"].to_pylist()] == [
        {"price": 1.5, "n": 3, "new": True, "source": 'a "b"'},
        {"price": 2.5, "revenue": 2.5, "source": 'a "b"'},
    ]
    assert block.events["user_id"].to_pylist() == [7, 7]
    assert block.events["session_id"].to_pylist() == [UUID(one).bytes] * 2
    assert block.events["country"].to_pylist() == ["DE", None]
    assert reasons(block) == {
        4: "user is not a whole number",
        5: "session is not a UUID",
        6: "country is no country code of two letters",
        7: "price is not a number",
        8: "price is not a number",
        9: "n is not a whole number",
        10: "new is neither true nor false",
        11: "user is negative",
        12: "user is not a whole number",
        13: "kind is missing",
        14: "kind is longer than 50 characters",
    }


def test_texts_become_json_whatever_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    note = 'a "quoted" \\ back\nslash\ttab \x01 ünï 🎈'
    path.write_text(json.dumps({"t": "2026-03-01T00:00:00Z", "kind": "view", "note": note, "more": {"x": [1, None]}}))
    wanted = mapping(properties={"note": {"column": "note"}}, properties_from="more")
    block = events(path, wanted)
    assert json.loads(block.events["properties"][0].as_py()) == {"x": [1, None], "note": note}


def test_the_id_of_a_line_is_its_own_and_its_tenants(tmp_path: Path) -> None:
    content = "t,kind\n2026-03-01T00:00:00Z,view\n2026-03-01T00:00:00Z,view\n"
    ids = of_csv(tmp_path, content, mapping()).events["event_id"].to_pylist()
    assert len(set(ids)) == 2
    assert {UUID(bytes=each).version for each in ids} == {8}
    assert of_csv(tmp_path, content, mapping()).events["event_id"].to_pylist() == ids
    assert not set(of_csv(tmp_path, content, mapping(), UUID(int=2)).events["event_id"].to_pylist()) & set(ids)
    assert not set(of_csv(tmp_path, content + "x,y\n", mapping()).events["event_id"].to_pylist()) & set(ids)


def test_the_id_of_a_content_is_the_same_in_every_file(tmp_path: Path) -> None:
    wanted = mapping(event_id={"from": "content"})
    one, other = "2026-03-01T00:00:00Z,view\n", "2026-03-01T00:00:00Z,click\n"
    ids = of_csv(tmp_path, "t,kind\n" + one + other + one, wanted).events["event_id"].to_pylist()
    assert ids[0] == ids[2] != ids[1]
    assert of_csv(tmp_path, "kind,t\nclick,2026-03-01T00:00:00Z\n", wanted).events["event_id"].to_pylist() == [ids[1]]


def test_an_own_id_is_kept_and_another_text_is_hashed(tmp_path: Path) -> None:
    wanted = mapping(event_id={"from": "column", "column": "id"}, user_id={"column": "who", "type": "hash"})
    one = "72d76fde-8bb3-4e00-8c23-a032dfed738c"
    block = of_csv(
        tmp_path,
        f"t,kind,id,who\n2026-03-01T00:00:00Z,a,{one},x\n2026-03-01T00:00:00Z,a,m-1,x\n2026-03-01T00:00:00Z,a,,y\n",
        wanted,
    )
    ids = block.events["event_id"].to_pylist()
    assert ids[0] == UUID(one).bytes
    assert UUID(bytes=ids[1]).version == 8
    users = block.events["user_id"].to_pylist()
    assert users[0] == users[1]
    assert HASHED_USERS_FROM <= users[0] < 2 * HASHED_USERS_FROM
    assert reasons(block) == {4: "id is missing"}


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    moment = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    table = pa.table(
        {
            "t": pa.array([moment, None, moment + timedelta(seconds=1)], pa.timestamp("ns", "UTC")),
            "kind": pa.array(["a", "b", "c"]).dictionary_encode(),
            "user": pa.array([1.0, 2.0, None], pa.float64()),
            "more": pa.array([{"x": 1}, None, {"x": 3}]),
        }
    )
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(table, path, row_group_size=3)
    wanted = mapping(
        user_id={"column": "user", "type": "integer"}, properties={"x": {"column": "more.x", "type": "integer"}}
    )
    block = events(path, wanted)
    assert block.events["time"].to_pylist() == [moment, moment + timedelta(seconds=1)]
    assert block.events["user_id"].to_pylist() == [1, None]
    assert block.events["properties"].to_pylist() == ['{"x": 1}', '{"x": 3}']
    assert reasons(block) == {2: "t is missing"}


@pytest.mark.parametrize("preset", presets())
def test_every_preset_takes_all_of_its_sample(preset: str) -> None:
    (sample,) = (PRESETS / "samples").glob(f"{preset}.*")
    block = events(sample, load_mapping(preset).mapping.model_copy())
    late = [reject for reject in block.rejects if "future" not in reject.reason]
    assert not late
    assert block.events.num_rows + len(block.rejects) >= 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "is no YAML"),
        ("description: x", "formats: Field required"),
        ("description: x\nformats: [csv]\ntime: {column: t, zone: Mars}", "no time zone"),
        ("description: x\nformats: [xls]", "formats"),
    ],
    ids=["no_yaml", "incomplete", "unknown_zone", "unknown_format"],
)
def test_a_mapping_that_cannot_be_used_says_why(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "own.yml"
    path.write_text(content)
    with pytest.raises(MappingError, match=message):
        load_mapping(str(path))
    with pytest.raises(MappingError, match="rees46"):
        load_mapping("reese46")
