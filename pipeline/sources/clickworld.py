"""The world of a generated click log: users and items with a long tail, their attributes, and clicks over a day.

Users and items are not stored: their attributes follow from a hash of their number, so the same seed gives the same
attributes whatever the number of rows, the days, or the order in which chunks are drawn.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.sources.clickcolumns import CLICK_COLUMNS, DEPARTMENTS, LONGEST, Amount, Array, Levels, Tags

USER_TAIL, ITEM_TAIL = 0.7, 0.9
MAX_A_DAY = 10**10
_DAY_MS, _EPOCH = 86_400_000, date(1970, 1, 1)
# Clicks an hour, from midnight: quiet nights, a busy evening.
_HOURS = np.array([3, 2, 1, 1, 1, 1, 2, 4, 5, 6, 6, 7, 8, 7, 6, 6, 7, 8, 10, 12, 13, 12, 9, 6], dtype=float)


class Clicks:
    """A chunk of clicks as codes, the keys for looking up both columns and probabilities.

    Args:
        codes: Column to the code of each row, one row of codes for a list; also ``user`` and ``item``, the ranks by
            popularity, and for a list its ``length`` under ``#name``.
        latent: Owner to five hidden numbers of 16 bits for each row, which no column shows.
    """

    def __init__(self, codes: dict[str, Array], latent: dict[str, Array]) -> None:
        self.codes, self.latent = codes, latent

    def __len__(self) -> int:
        return len(self.codes["user"])


class World:
    """The users and items of a seed.

    Args:
        seed: Seed of the world.
        users: Number of users; user ranks follow ``rank ** -0.7``.
        items: Number of items; item ranks follow ``rank ** -0.9``.
    """

    def __init__(self, seed: int, users: int, items: int) -> None:
        self.seed, self.users, self.items = seed, users, items
        self._salts = np.random.SeedSequence((seed, 0)).generate_state(64, np.uint64)

    def clicks(self, day: date, chunk: int, chunks: int, rows: int) -> Clicks:
        """Draw one chunk of a day: the ``chunk``-th of ``chunks`` equal shares of the day's clicks, in time order."""
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence((self.seed, 1, day.toordinal(), chunk))))
        codes = {
            "user": _rank(generator.random(rows), self.users, USER_TAIL),
            "item": _rank(generator.random(rows), self.items, ITEM_TAIL),
            "milliseconds": _times((chunk + np.sort(generator.random(rows))) / chunks),
        }
        owned = {owner: [c for c in CLICK_COLUMNS if c.of == owner] for owner in ("user", "item", "row")}
        latent = {}
        for place, owner in enumerate(("user", "item")):
            words = _Words(codes[owner].astype(np.uint64), self._salts[32 * place :])
            latent[owner] = words.take(5)
            codes |= _codes(owned[owner], words)
        codes |= _codes(owned["row"], _Words(generator, rows))
        codes["department"] = codes["category"] % DEPARTMENTS
        codes["hour"] = codes["milliseconds"] // (_DAY_MS // 24)
        codes["weekday"] = np.full(rows, day.weekday())
        return Clicks(codes, latent)

    def table(self, clicks: Clicks, day: date, first: int) -> pa.Table:
        """The columns of a chunk.

        Args:
            clicks: The chunk.
            day: Its day.
            first: Number of the chunk's first row within the day.
        """
        codes = clicks.codes
        columns = {
            "click_id": pa.array(click_ids(day, first, len(clicks))),
            "timestamp": pa.array((day - _EPOCH).days * _DAY_MS + codes["milliseconds"]).cast(pa.timestamp("ms")),
            "user_id": pa.array(_shuffled(codes["user"], self.users)),
            "item_id": pa.array(_shuffled(codes["item"], self.items)),
            "hour": pa.array(codes["hour"].astype(np.int8)),
            "weekday": pa.array(codes["weekday"].astype(np.int8)),
        }
        for column in (Levels("item", "department", DEPARTMENTS, text="department"), *CLICK_COLUMNS):
            columns |= column.column(codes)
        return pa.table(columns)


def click_ids(day: date, first: int, rows: int) -> Array:
    """Click ids, unique over all days: the day, then the number of the row within the day."""
    return day.toordinal() * MAX_A_DAY + first + np.arange(rows)


class _Words:
    """A supply of 16 random bits a row, from a generator or from a hash of each row's user or item."""

    def __init__(self, source: Array | np.random.Generator, salts: Any) -> None:
        self._source, self._salts, self._used = source, salts, 0
        self._rows = salts if isinstance(source, np.random.Generator) else len(source)

    def take(self, count: int) -> Array:
        """``count`` numbers of 16 bits for each row: count x rows."""
        taken = np.empty((count, self._rows), np.uint16)
        for place in range(0, count, 4):
            for part, words in zip(
                taken[place : place + 4], self._next().view(np.uint16).reshape(-1, 4).T, strict=False
            ):
                part[:] = words
        return taken

    def take_lists(self) -> Array:
        """Eight numbers of 16 bits for each row, as columns."""
        return np.stack([self._next(), self._next()], axis=1).view(np.uint16)

    def _next(self) -> Array:
        self._used += 1
        if isinstance(self._source, np.random.Generator):
            raw: Array = self._source.bit_generator.random_raw(self._salts)
            return raw
        return _hash(self._source, self._salts[self._used - 1])


def _hash(ids: Array, salt: np.uint64) -> Array:
    """SplitMix64's finaliser: 64 bits that look independent for every id and salt."""
    z = ids * np.uint64(0x9E3779B97F4A7C15) + salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z


def _rank(uniform: Array, count: int, tail: float) -> Array:
    """Ranks from 0 with weights near ``(1 + rank) ** -tail``: the inverse of a bounded power law."""
    power = 1 - tail
    rank = (((count + 1.0) ** power - 1) * uniform + 1) ** (1 / power)
    whole: Array = np.minimum(rank.astype(np.int64) - 1, count - 1)
    return whole


def _shuffled(rank: Array, count: int) -> Array:
    """A permutation of the ranks, from 1: so that an id does not reveal its popularity."""
    factor = max(1, int(count * 0.6180339887))
    while np.gcd(factor, count) != 1:
        factor += 1
    shuffled: Array = rank * factor % count + 1
    return shuffled


def _times(share: Array) -> Array:
    """Milliseconds since midnight at which that share of a day's clicks has been made."""
    made = np.append(0, _HOURS.cumsum()) / _HOURS.sum()
    times: Array = np.minimum(np.interp(share, made, np.linspace(0, _DAY_MS, 25)), _DAY_MS - 1).astype(np.int64)
    return times


def _codes(columns: list[Levels | Amount | Tags], words: _Words) -> dict[str, Array]:
    plain = [c for c in columns if not isinstance(c, Tags)]
    drawn = zip(plain, words.take(len(plain)), strict=True)
    codes = {c.name: np.take(c.codes, w) if isinstance(c, Levels) else w for c, w in drawn}
    for tags in columns:
        if isinstance(tags, Tags):
            length, first = words.take(2)
            residue = (first[:, None] + np.arange(LONGEST, dtype=np.uint16)) & np.uint16(LONGEST - 1)
            codes[tags.name] = np.take(tags.codes, words.take_lists()) + residue
            codes["#" + tags.name] = np.take(tags.lengths, length)
            if tags.weights:
                codes[tags.weights] = words.take_lists() // np.uint16(656) + np.uint16(1)
    return codes
