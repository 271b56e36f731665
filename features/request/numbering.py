"""The ids of single values of a category: looked up, or hashed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.constants import FIRST_KNOWN, NULL
from features.request.column import Column
from features.request.names import names
from features.request.vocabulary import Ids, Vocabulary
from features.request.xxhash import Hashes, hashes


class Numbering(ABC):
    """Gives values their ids."""

    @abstractmethod
    def ids(self, column: Column) -> Ids:
        """The id of each value, ``NULL`` where it is unknown."""


@dataclass(frozen=True)
class LookedUp(Numbering):
    """Looks values up.

    Args:
        vocabulary: The known values.
    """

    vocabulary: Vocabulary

    def ids(self, column: Column) -> Ids:
        """See :meth:`Numbering.ids`."""
        return self.vocabulary.ids(column)


@dataclass(frozen=True)
class Hashed(Numbering):
    """Hashes the names of values.

    Args:
        buckets: Number of buckets.
        naming: The number of the rule of names.
    """

    buckets: int
    naming: int

    def ids(self, column: Column) -> Ids:
        """See :meth:`Numbering.ids`."""
        hash_N, known_N = hashes_of(column, self.naming)
        return bucket_ids(hash_N, known_N, self.buckets)


def hashes_of(column: Column, naming: int) -> tuple[Hashes, npt.NDArray[np.bool_]]:
    """The hashes of the names of values, and whether each value is known."""
    found = names(column, naming)
    known_N = np.array([name is not None for name in found], np.bool_)
    return hashes([name or "" for name in found]), known_N


def bucket_ids(hash_N: Hashes, known_N: npt.NDArray[np.bool_], buckets: int) -> Ids:
    """The ids of hashes: ``FIRST_KNOWN`` + the hash modulo the buckets."""
    bucket_N = (hash_N % np.uint64(buckets)).astype(np.int32)
    return np.where(known_N, bucket_N + np.int32(FIRST_KNOWN), np.int32(NULL))
