"""The xxhash64 of texts, with seed 0: one by one in Python's integers, many at once in numpy's.

The algorithm is Yann Collet's (https://github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]

_P1, _P2, _P3, _P4, _P5 = (
    11400714785074694791,
    14029467366897019727,
    1609587929392839161,
    9650029242287828579,
    2870177450012600261,
)
_MASK = (1 << 64) - 1
_STRIPE = 32
# Numpy's many small steps take as long as this number of texts in Python.
_FEW = 64


def hashes(texts: Sequence[str]) -> Hashes:
    """The hashes of texts, each of its bytes in UTF-8."""
    distinct = dict.fromkeys(texts)
    whole = [text.encode() for text in distinct]
    found = np.array([*map(_hash, whole)], np.uint64) if len(whole) <= _FEW else _hash_many(whole)
    if len(distinct) == len(texts):
        return found
    places = {text: place for place, text in enumerate(distinct)}
    return found[[places[text] for text in texts]]


def _hash(data: bytes) -> int:
    size = len(data)
    done = size - size % _STRIPE
    total = (_stripes(data, done) if done else _P5) + size
    while size - done >= 8:
        lane = int.from_bytes(data[done : done + 8], "little")
        total = _rotated(total ^ _round(0, lane), 27) * _P1 + _P4
        done += 8
    if size - done >= 4:
        lane = int.from_bytes(data[done : done + 4], "little")
        total = _rotated((total ^ (lane * _P1)) & _MASK, 23) * _P2 + _P3
        done += 4
    for byte in data[done:]:
        total = _rotated((total ^ (byte * _P5)) & _MASK, 11) * _P1
    total &= _MASK
    total = ((total ^ (total >> 33)) * _P2) & _MASK
    total = ((total ^ (total >> 29)) * _P3) & _MASK
    return total ^ (total >> 32)


def _rotated(number: int, bits: int) -> int:
    number &= _MASK
    return ((number << bits) | (number >> (64 - bits))) & _MASK


def _round(sums: int, lane: int) -> int:
    return _rotated(sums + lane * _P2, 31) * _P1 & _MASK


def _stripes(data: bytes, end: int) -> int:
    sums = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
    lanes = np.frombuffer(data, np.dtype("<u8"), end // 8).tolist()
    for place, lane in enumerate(lanes):
        sums[place % 4] = _round(sums[place % 4], lane)
    total = sum(_rotated(one, bits) for one, bits in zip(sums, (1, 7, 12, 18), strict=True))
    for one in sums:
        total = ((total ^ _round(0, one)) * _P1 + _P4) & _MASK
    return total


def _hash_many(texts: Sequence[bytes]) -> Hashes:
    """Texts that are shorter than a stripe at once, longer ones one by one."""
    size_N = np.array([*map(len, texts)])
    found_N = np.empty(len(texts), np.uint64)
    short_N = size_N < _STRIPE
    for place in np.flatnonzero(~short_N).tolist():
        found_N[place] = _hash(texts[place])
    short = [text for text, is_short in zip(texts, short_N.tolist(), strict=True) if is_short]
    if short:
        found_N[short_N] = _hash_short(short, size_N[short_N])
    return found_N


def _hash_short(texts: Sequence[bytes], size_N: npt.NDArray[np.int64]) -> Hashes:
    byte_NX = np.frombuffer(b"".join(text.ljust(_STRIPE, b"\0") for text in texts), np.uint8).reshape(-1, _STRIPE)
    lane_NX = byte_NX.view(np.dtype("<u8"))
    total_N = np.uint64(_P5) + size_N.astype(np.uint64)
    for lane in range(_STRIPE // 8 - 1):
        mixed_N = _turned(lane_NX[:, lane] * np.uint64(_P2), 31) * np.uint64(_P1)
        next_N = _turned(total_N ^ mixed_N, 27) * np.uint64(_P1) + np.uint64(_P4)
        total_N = np.where(size_N >= 8 * lane + 8, next_N, total_N)
    done_N = size_N - size_N % 8
    half_N = byte_NX.view(np.dtype("<u4"))[np.arange(len(texts)), done_N // 4].astype(np.uint64)
    next_N = _turned(total_N ^ (half_N * np.uint64(_P1)), 23) * np.uint64(_P2) + np.uint64(_P3)
    has_half_N = size_N - done_N >= 4
    total_N = np.where(has_half_N, next_N, total_N)
    done_N = np.where(has_half_N, done_N + 4, done_N)
    for place in range(3):
        byte_N = byte_NX[np.arange(len(texts)), done_N + place].astype(np.uint64)
        next_N = _turned(total_N ^ (byte_N * np.uint64(_P5)), 11) * np.uint64(_P1)
        total_N = np.where(size_N > done_N + place, next_N, total_N)
    total_N = (total_N ^ (total_N >> np.uint64(33))) * np.uint64(_P2)
    total_N = (total_N ^ (total_N >> np.uint64(29))) * np.uint64(_P3)
    return total_N ^ (total_N >> np.uint64(32))


def _turned(number_N: Hashes, bits: int) -> Hashes:
    return (number_N << np.uint64(bits)) | (number_N >> np.uint64(64 - bits))
