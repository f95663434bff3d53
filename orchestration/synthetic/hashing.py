"""Attributes that are a function of who something is, not of the order in which it was drawn.

A shopper's country must be the same in every day partition that mentions them, whatever was generated before. So it
is hashed from seed, tenant and number (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
generators", 2014) instead of being drawn from a stream.
"""

import hashlib
from collections.abc import Iterable
from uuid import UUID

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Uuids = npt.NDArray[np.uint8]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _splitmix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    mixed = state + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX_2
    return np.asarray(mixed ^ (mixed >> np.uint64(31)), dtype=np.uint64)


def uniform(seed: int, purpose: str, *keys: Ints | int) -> Floats:
    """Return numbers in [0, 1) that depend only on the seed, the purpose and the keys, elementwise."""
    label = int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest(), "big")
    state = np.full(np.broadcast_shapes(*(np.shape(key) for key in keys)) or (1,), label, dtype=np.uint64)
    with np.errstate(over="ignore"):
        for key in keys:
            state = _splitmix(state ^ np.asarray(key).astype(np.uint64))
    return np.asarray((state >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def pick(numbers: Floats, shares: Iterable[float]) -> Ints:
    """Return, for each number in [0, 1), the index of the share it falls into; the shares add up to 1."""
    edges = np.cumsum(np.fromiter(shares, dtype=np.float64))[:-1]
    return np.searchsorted(edges, numbers, side="right").astype(np.int64)


def uuid5_bytes(namespace: UUID, names: Iterable[str]) -> Uuids:
    """Return the version 5 UUIDs (RFC 9562) of ``names`` as an (n, 16) matrix."""
    prefix = namespace.bytes
    digests = b"".join(hashlib.sha1(prefix + name.encode(), usedforsecurity=False).digest()[:16] for name in names)
    return _stamped(np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16).copy(), version=5)


def random_uuids(random: np.random.Generator, count: int) -> Uuids:
    """Return ``count`` version 4 UUIDs drawn from ``random`` as an (n, 16) matrix."""
    return _stamped(np.frombuffer(random.bytes(16 * count), dtype=np.uint8).reshape(-1, 16).copy(), version=4)


def _stamped(matrix: Uuids, *, version: int) -> Uuids:
    matrix[:, 6] = (matrix[:, 6] & 0x0F) | (version << 4)
    matrix[:, 8] = (matrix[:, 8] & 0x3F) | 0x80
    return matrix
