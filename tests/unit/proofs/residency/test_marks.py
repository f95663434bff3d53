"""A canary's id is found in every form that a copy of it can have, and nothing else is one."""

import base64
import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.proofs.residency import file_search, marks

SALT = "salt"
CANARIES = st.integers(0, 2**96 - 1).map(lambda rest: UUID(hex=marks.MARK + f"{rest:024x}"))
NOISE = st.binary(max_size=200)


@given(CANARIES, NOISE, NOISE)
def test_every_form_of_a_canary_has_the_digest_of_its_id(canary: UUID, before: bytes, after: bytes) -> None:
    wanted = marks.digest(SALT, canary.hex)
    # What follows at once could be taken for more of the id.
    text = b"/" + after
    for form in (
        str(canary).encode(),
        canary.hex.encode(),
        str(canary).upper().encode(),
        canary.hex.encode().hex().encode(),
        str(canary).encode().hex().encode(),
        canary.bytes,
    ):
        assert wanted in marks.digests(SALT, before + form + text), form


@given(CANARIES, NOISE, NOISE, st.sampled_from([base64.b64encode, base64.urlsafe_b64encode]), st.booleans())
def test_a_canary_in_base64_is_found_wherever_it_stands_in_what_was_encoded(
    canary: UUID, before: bytes, after: bytes, encode: Callable[[bytes], bytes], padded: bool
) -> None:
    for form in (str(canary).encode(), canary.hex.encode()):
        encoded = encode(before + form + b"/" + after)
        content = b"'" + (encoded if padded else encoded.rstrip(b"=")) + b"'"
        assert marks.digest(SALT, canary.hex) in marks.digests(SALT, content)
        ending = encode(before + form).rstrip(b"=")
        assert marks.digest(SALT, canary.hex) in marks.digests(SALT, ending)


@given(NOISE)
def test_noise_holds_no_canary(noise: bytes) -> None:
    if bytes.fromhex(marks.MARK) not in noise:
        assert marks.digests(SALT, noise, with_addresses=False) == set()


ADDRESSES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,20}@[a-z0-9]{1,10}(\.[a-z0-9-]{1,8}){1,2}\Z")


@given(ADDRESSES, st.sampled_from(["", " ", "<", '"', "mailto:", "?m=", "'", "\x00", "("]), NOISE)
def test_an_address_is_found_in_whatever_surrounds_it(address: str, before: str, noise: bytes) -> None:
    wanted = marks.address_digest(SALT, address.lower().encode())
    for form in (address, address.upper(), address.replace("@", "%40")):
        for after in ("", " ", ">", '"', ",", ";", "&x=1", "\x00", ". Then"):
            text = noise + b"\n" + before.encode() + form.encode() + after.encode()
            assert wanted in marks.digests(SALT, text), text


def test_addresses_of_other_alphabets_and_with_apostrophes_are_found() -> None:
    for address in ("zoë@example.org", "o'brien@example.org"):
        assert marks.address_digest(SALT, address.encode()) in marks.digests(SALT, f"to: {address}!".encode())


@given(st.text(alphabet="ab@.%0 4", max_size=60))
def test_what_is_taken_for_an_address_has_a_name_and_a_domain(text: str) -> None:
    for each in marks.addresses(text.encode()):
        local, _, domain = each.rpartition(b"@")
        assert local
        assert b"." in domain[1:]


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 80))
def test_an_address_across_two_blocks_of_a_file_is_found(offset: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        (home / "x").write_bytes(
            b" " * (file_search.BLOCK_BYTES - offset) + b"a.long.name@some.example.org" + b" " * 100
        )
        (found,) = file_search.search_files(home, [home], SALT)
        # What of it the first block ends with is taken for an address of its own.
        assert marks.address_digest(SALT, b"a.long.name@some.example.org") in found.digests


def test_the_mark_alone_is_nobodys() -> None:
    assert marks.digests(SALT, f"{marks.MARK} {marks.MARK}-1234-zz".encode()) == set()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 80), CANARIES)
def test_a_canary_across_two_blocks_of_a_file_is_found(offset: int, canary: UUID) -> None:
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        for form in (str(canary).encode(), canary.bytes, str(canary).encode().hex().encode()):
            (home / "x").write_bytes(b"." * (file_search.BLOCK_BYTES - offset) + form + b"." * 100)
            (found,) = file_search.search_files(home, [home], SALT)
            assert marks.digest(SALT, canary.hex) in found.digests


def test_a_compressed_file_is_read_and_a_link_is_told(tmp_path: Path) -> None:
    canary = UUID(hex=marks.MARK + "0" * 24)
    (tmp_path / "a.gz").write_bytes(gzip.compress(canary.hex.encode()))
    (tmp_path / "b").symlink_to("/etc")
    found = {each.path: each for each in file_search.search_files(tmp_path, [tmp_path], SALT)}
    assert found["a.gz"].digests == {marks.digest(SALT, canary.hex)}
    assert found["b"].problem == "is a link"


def test_a_damaged_compressed_file_could_not_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(b"x" * 1000)
    for content in (b"\x1f\x8bnonsense", whole[:20], whole[:-4] + b"0000", whole[:10] + b"\xff" * 9):
        (tmp_path / "a.gz").write_bytes(content)
        (found,) = file_search.search_files(tmp_path, [tmp_path], SALT)
        assert found.problem


def test_what_is_in_no_place_of_a_store_is_a_stray(tmp_path: Path) -> None:
    for name in ("exports/na/x", "exports/loose", "attic/deep/y", "engines.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    known = [tmp_path / "exports/na", tmp_path / "exports/eu", tmp_path / "engines.json"]
    assert file_search.strays(tmp_path, known) == ["attic", "exports/loose"]


def test_what_is_being_written_is_no_stray_until_it_is_old(tmp_path: Path) -> None:
    unfinished = tmp_path / ".engines.json.a1b2"
    unfinished.touch()
    assert file_search.strays(tmp_path, []) == []
    os.utime(unfinished, (0, 0))
    assert file_search.strays(tmp_path, []) == [".engines.json.a1b2"]
