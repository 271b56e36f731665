"""Forms of features with a single id a row, and no number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.constants import FIRST_KNOWN, MULTIPLIER, NULL, PRIME
from features.request.column import Column
from features.request.form import Form, Part
from features.request.numbering import Numbering, bucket_ids, hashes_of
from features.request.times import Clock


@dataclass(frozen=True)
class Single(Form):
    """One value a row.

    Args:
        numbering: Gives it its id.
    """

    numbering: Numbering

    def part(self, columns: Sequence[Column]) -> Part:
        """See :meth:`features.request.form.Form.part`."""
        return Part(self.numbering.ids(columns[0]))


@dataclass(frozen=True)
class Crossed(Form):
    """The values of several columns, hashed together.

    Args:
        buckets: Number of buckets.
        naming: The number of the rule of names.
    """

    buckets: int
    naming: int

    def part(self, columns: Sequence[Column]) -> Part:
        """See :meth:`features.request.form.Form.part`."""
        (whole_N, known_N), *others = (hashes_of(column, self.naming) for column in columns)
        whole_N = whole_N % np.uint64(PRIME)
        for other_N, also_known_N in others:
            other_N = other_N % np.uint64(PRIME)
            whole_N = whole_N % np.uint64(PRIME) * np.uint64(MULTIPLIER) + other_N
            known_N = known_N & also_known_N
        return Part(bucket_ids(whole_N, known_N, self.buckets))


@dataclass(frozen=True)
class TimePart(Form):
    """A part of a moment.

    Args:
        clock: Reads the moment.
        part_name: ``"hour"``, ``"weekday"`` or ``"month"``.
    """

    clock: Clock
    part_name: str

    def part(self, columns: Sequence[Column]) -> Part:
        """See :meth:`features.request.form.Form.part`."""
        moments = self.clock.read(columns[0])
        ids_N = np.where(moments.known_N, moments.part(self.part_name) + FIRST_KNOWN, NULL)
        return Part(ids_N.astype(np.int32))
