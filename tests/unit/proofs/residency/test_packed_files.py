import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.proofs.residency import file_search, marks, packed_files

SALT = "salt"
CANARY = UUID(hex=marks.MARK + "7" * 24)


def _zip(content: bytes, name: str = "inside.csv") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first.txt", "nobody")
        archive.writestr(name, content)
    return buffer.getvalue()


def _tar(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, each in (("first.txt", b"nobody"), ("inside.csv", content)):
            member = tarfile.TarInfo(name)
            member.size = len(each)
            archive.addfile(member, io.BytesIO(each))
    return buffer.getvalue()


PACKERS: list[Callable[[bytes], bytes]] = [gzip.compress, bz2.compress, lzma.compress, _zip, _tar]


def _search(directory: Path, content: bytes) -> file_search.FileFound:
    (directory / "packed").write_bytes(content)
    (found,) = file_search.search_files(directory, [directory], SALT)
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(PACKERS), max_size=packed_files.MOST_LAYERS))
def test_who_is_packed_is_found_through_every_layer(
    tmp_path_factory: pytest.TempPathFactory, packers: list[Callable[[bytes], bytes]]
) -> None:
    content = b"id,note\n1," + CANARY.hex.encode() + b"\n"
    for pack in packers:
        content = pack(content)
    found = _search(tmp_path_factory.mktemp("packed"), content)
    assert found.digests == {marks.digest(SALT, CANARY.hex)}
    assert found.problem is None


def test_more_layers_than_are_opened_are_a_problem_and_not_an_empty_file(tmp_path: Path) -> None:
    content = CANARY.hex.encode()
    for _ in range(packed_files.MOST_LAYERS + 1):
        content = gzip.compress(content)
    assert _search(tmp_path, content).problem == f"is packed in more than {packed_files.MOST_LAYERS} layers"


def test_a_name_within_an_archive_is_looked_at(tmp_path: Path) -> None:
    assert _search(tmp_path, gzip.compress(_zip(b"", f"{CANARY}.txt"))).digests == {marks.digest(SALT, CANARY.hex)}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, _zip])
def test_what_stands_behind_what_is_packed_is_looked_at(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    assert marks.digest(SALT, CANARY.hex) in _search(tmp_path, pack(b"nobody") + CANARY.hex.encode()).digests


@pytest.mark.parametrize("method", sorted(packed_files.OPAQUE))
def test_what_cannot_be_looked_into_is_a_problem_that_says_what_it_is(tmp_path: Path, method: bytes) -> None:
    problem = _search(tmp_path, method + b"\0" * 400).problem
    assert problem == f"is {packed_files.OPAQUE[method]}, which is not looked into"


def test_an_encrypted_zip_is_a_problem(tmp_path: Path) -> None:
    content = bytearray(_zip(b"x"))
    # The flag of each member, in its own header and in the directory.
    for signature, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = content.find(signature)
        while start >= 0:
            content[start + at] |= 1
            start = content.find(signature, start + 1)
    assert _search(tmp_path, bytes(content)).problem == "is an encrypted zip, which is not looked into"


@pytest.mark.parametrize("pack", PACKERS)
def test_what_was_cut_off_is_a_problem(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    whole = pack(bytes(range(256)) * 40)
    assert _search(tmp_path, whole[: len(whole) // 2]).problem


def test_what_unpacks_without_end_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_files, "MOST_UNPACKED_BYTES", 10_000)
    assert _search(tmp_path, gzip.compress(b"x" * 20_000)).problem == "unpacks to more than is looked into"
    (tmp_path / "packed").unlink()
    (tmp_path / "plain").write_bytes(b"x" * 20_000)
    assert file_search.search_files(tmp_path, [tmp_path], SALT) == []
