"""What a model costs to serve: milliseconds a request of one row and of many, and the size of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import polars as pl

from pipeline.serving.scorer import Scorer

ROWS = 500
_ROUNDS = 9
SERVING = "serving."  # the beginning of the tags of a version and of a logged model
_TAGS = {"ms_row": f"{SERVING}ms_row", "ms_500_rows": f"{SERVING}ms_{ROWS}_rows", "megabytes": f"{SERVING}mb"}


@dataclass(frozen=True)
class ServingCost:
    """The cost of scoring raw rows in this process, encoding included, and that of keeping the model.

    Args:
        ms_row: Milliseconds for one row, the median of some requests.
        ms_500_rows: The same for 500 rows together.
        megabytes: Size of the model's files, in 1e6 bytes.
    """

    ms_row: float
    ms_500_rows: float
    megabytes: float

    @classmethod
    def measured(cls, scorer: Scorer, row: pl.DataFrame, folder: Path) -> ServingCost:
        """Measure a model.

        Args:
            scorer: The model.
            row: A raw row.
            folder: Its files.
        """
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        many = pl.concat([row] * ROWS)
        return cls(_milliseconds(scorer, row), _milliseconds(scorer, many), size / 1e6)

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> ServingCost | None:
        """The cost in a model's tags; None where it was not measured."""
        if not {*_TAGS.values()} <= tags.keys():
            return None
        return cls(**{name: float(tags[tag]) for name, tag in _TAGS.items()})

    @property
    def tags(self) -> dict[str, str]:
        """The cost as tags of a model."""
        return {tag: f"{getattr(self, name):.4g}" for name, tag in _TAGS.items()}

    def __str__(self) -> str:
        return f"{self.ms_row:.3g} ms a row, {self.ms_500_rows:.3g} ms for {ROWS} rows, {self.megabytes:.3g} MB"


def _milliseconds(scorer: Scorer, rows: pl.DataFrame) -> float:
    scorer.score(rows)  # the first request fills caches
    taken = []
    for _ in range(_ROUNDS):
        started = perf_counter()
        scorer.score(rows)
        taken.append(1000 * (perf_counter() - started))
    return median(taken)
