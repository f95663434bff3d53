"""How people are recognised wherever they are: a canary by its id, in the forms that a copy of it can have, anybody by
their e-mail address.

A canary's id begins with :data:`MARK` and is random for the rest. The beginning finds candidates quickly, in rows by
LIKE and in files byte by byte; whether a candidate is a canary is told by a salted digest, so that a proof of one
cell knows those of the others without having seen one. What merely begins alike, such as a name that somebody chose,
is none.

The digest of an address has a prefix, :data:`ADDRESS`: an address is compared with those of people who may not be here,
and means nothing where nobody's is known.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes
from uuid import UUID

# The first four bytes of a canary's id: a random UUID begins so once in four billion.
MARK = "ca9a91e5"


def _in_base64(text: bytes) -> Iterator[str]:
    """Yield what of the Base64 of ``text`` does not depend on what is around it, by how many bytes stand before."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text).decode()
        yield encoded[-(-before * 8 // 6) : (before + len(text)) * 8 // 6]


IN_BASE64 = tuple(_in_base64(MARK.encode()))
# In rows as text: as they are, in upper case, as a bytea holding the text shows it (in hexadecimal), and in Base64.
IN_TEXT = (MARK, MARK.upper(), MARK.encode().hex(), *IN_BASE64)

_REST = rb"-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}"
_AS_TEXT = re.compile(rb"(?i:" + MARK.encode() + rb")" + _REST)
_AS_HEX_OF_TEXT = re.compile(rb"(?i:" + MARK.encode().hex().encode() + rb")(?:2d|3[0-9]|[46][1-6]){24,28}")
# The mark, up to three bytes before it, and the 28 characters after it, with the breaks that some encoders make.
_AS_BASE64 = re.compile(rb"[0-9A-Za-z+/_-]{0,4}(?:" + "|".join(IN_BASE64).encode() + rb")[0-9A-Za-z+/_\s-]{0,48}")
_BASE64 = tuple(each.encode() for each in IN_BASE64)
_BINARY = bytes.fromhex(MARK)
BINARY_BYTES = 16
# The shortest form as text, without dashes.
TEXT_BYTES = 32
# The longest form: a UUID with dashes, in hexadecimal; what is read block by block has to overlap by it.
LONGEST = 36 * 2

ADDRESS = "@"
# What an address has in the middle, as it is and in a page's address.
IN_ADDRESS = ("@", "%40")
# "a@b.c" and shorter is nobody's.
ADDRESS_BYTES = 6
# RFC 5321: 64 before the sign, 255 after it. What is read block by block has to overlap by it.
LONGEST_ADDRESS = 64 + 1 + 255
_LOCAL = re.compile(rb"[0-9A-Za-z._%+-]{1,64}\Z")
# All that RFC 5321 allows without quotes, and other alphabets; much of it is also what texts put before an address.
_LOCAL_WIDE = re.compile(rb"[0-9A-Za-z.!#$%&'*+/=?^_`{|}~\x80-\xff-]{1,64}\Z")
_DOMAIN = re.compile(rb"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+")


def digest(salt: str, identity: str) -> str:
    """Return the salted digest of an id, by which cells compare canaries without telling them; dashes do not count."""
    return hashlib.sha256((salt + identity.lower().replace("-", "")).encode()).hexdigest()


def identities(content: bytes) -> Iterator[str]:
    """Yield what begins like a canary's id in ``content``: text, its hexadecimal or Base64, or a binary UUID."""
    lowered = MARK.encode()
    if lowered in content or MARK.upper().encode() in content:
        for match in _AS_TEXT.finditer(content):
            yield match[0].decode()
    if MARK.encode().hex().encode() in content:
        for match in _AS_HEX_OF_TEXT.finditer(content):
            yield bytes.fromhex(match[0].decode()).decode()
    if any(each in content for each in _BASE64):
        for match in _AS_BASE64.finditer(content):
            for decoded in _decoded(match[0]):
                for inner in _AS_TEXT.finditer(decoded):
                    yield inner[0].decode()
    at = content.find(_BINARY)
    while at >= 0:
        found = content[at : at + BINARY_BYTES]
        if len(found) == BINARY_BYTES:
            yield UUID(bytes=found).hex
        at = content.find(_BINARY, at + 1)


def _decoded(encoded: bytes) -> Iterator[bytes]:
    """Yield what Base64 says from its first, second, third or fourth character on: one of them is where it begins."""
    characters = re.sub(rb"\s", b"", encoded).translate(bytes.maketrans(b"-_", b"+/"))
    for begin in range(4):
        whole = characters[begin:]
        # What is cut off in the middle of four characters says its bytes all the same.
        yield base64.b64decode(whole + b"A" * (-len(whole) % 4))


def addresses(content: bytes) -> Iterator[bytes]:
    """Yield the e-mail addresses in ``content``, in lower case."""
    if b"%40" in content:
        yield from addresses(unquote_to_bytes(content).replace(b"%40", b" "))
    at = content.find(b"@")
    while at >= 0:
        domain = _DOMAIN.match(content, at + 1, at + 256)
        if domain is not None:
            before = content[max(0, at - 64) : at]
            for local in (_LOCAL.search(before), _LOCAL_WIDE.search(before)):
                if local is not None:
                    yield (local[0] + b"@" + domain[0]).lower()
        at = content.find(b"@", at + 1)


def address_digest(salt: str, address: bytes) -> str:
    """Return the salted digest of an address in lower case."""
    return ADDRESS + hashlib.sha256(salt.encode() + address).hexdigest()


def digests(salt: str, content: bytes, *, with_addresses: bool = True) -> set[str]:
    """Return the digests of all that begins like a canary's id in ``content``, and of its e-mail addresses."""
    found = {digest(salt, each) for each in identities(content)}
    if with_addresses:
        found |= {address_digest(salt, each) for each in addresses(content)}
    return found


def of_all(salt: str, people: Iterable[UUID]) -> frozenset[str]:
    """Return the digests of these persons."""
    return frozenset(digest(salt, person.hex) for person in people)
