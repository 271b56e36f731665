"""The distributions of the columns that a model reads, in memory and as a file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from pydantic import BaseModel, ValidationError

from features.encoder import ID, VALUE, WEIGHT
from features.errors import InputError
from features.spec import FeatureSpec
from pipeline.data.distributions import Distribution, IdDistribution, NumberDistribution, Whole, stability_index
from pipeline.data.prepared import Prepared
from pipeline.evaluation.sample import sampled, sampling_step
from pipeline.files import parquet
from pipeline.files.atomic import atomic

_VERSION, _ABOUT, _CACHE = 1, "gradops.distributions", "distributions.parquet"
_SAMPLE = 100_000  # numbers whose quantiles become the edges of groups


class _Number(BaseModel):
    """A column of numbers, without its counts; see :class:`pipeline.data.distributions.NumberDistribution`."""

    edges: tuple[float, ...]
    mean: float
    deviation: float


class _About(BaseModel):
    """What a file says beside the counts."""

    version: int
    rows: int
    numbers: dict[str, _Number]
    usual: dict[str, float]


@dataclass(frozen=True, eq=False)
class Columns:
    """The distributions of some rows, column by column.

    Args:
        rows: The number of rows.
        distributions: Encoded column to its distribution.
        usual: Column to the stability index of the validation rows; a day's rows differ as much without any fault.
    """

    rows: int
    distributions: Mapping[str, Distribution]
    usual: Mapping[str, float]

    @classmethod
    def of(cls, prepared: Prepared) -> Columns:
        """The training rows of prepared data, in memory for one column at a time.

        They are kept in the folder of the data: every model of the data has the same ones.
        """
        cache = prepared.folder / _CACHE
        with suppress(InputError, FileNotFoundError):
            return cls.load(cache)
        found = cls._counted(prepared)
        with suppress(OSError):  # of data that may only be read, or on a full disk, they are counted again
            found.save(cache)
        return found

    @classmethod
    def _counted(cls, prepared: Prepared) -> Columns:
        train, val, spec = prepared.scan("train"), prepared.scan("val"), prepared.encoder().spec
        distributions, usual = dict[str, Distribution](), dict[str, float]()
        for column in encoded_columns(spec):
            if column.startswith(ID):
                ids = IdDistribution.of(train, column)
                distributions[column] = ids
                usual[column] = stability_index(ids.summed(IdDistribution.of(val, column).count_I), ids.count_G)
            else:
                numbers = _number(train, prepared.rows["train"], column)
                distributions[column] = numbers
                usual[column] = stability_index(numbers.counts(entries(val, column)), numbers.count_G)
        return cls(prepared.rows["train"], distributions, usual)

    def save(self, path: Path) -> None:
        """Write a file without a name or a raw value: ids and ranges of encoded numbers with their counts."""
        counts, numbers = [], {}
        for column, one in self.distributions.items():
            count_X = one.count_G
            if isinstance(one, IdDistribution):
                count_X = one.count_I
            elif isinstance(one, NumberDistribution):
                numbers[column] = _Number(edges=one.edges, mean=one.mean, deviation=one.deviation)
            counts.append(pl.select(column=pl.lit(column), n=pl.lit(pl.Series(count_X, dtype=pl.Int64))))
        about = _About(version=_VERSION, rows=self.rows, numbers=numbers, usual=dict(self.usual))
        with atomic(path) as draft:
            pl.concat(counts).write_parquet(draft, metadata={_ABOUT: about.model_dump_json()})

    @classmethod
    def load(cls, path: Path) -> Columns:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: If there is no file.
            InputError: If it is not such a file.
        """
        try:
            about = _About.model_validate_json(pl.read_parquet_metadata(path).get(_ABOUT, ""))
            if about.version != _VERSION:
                raise ValueError(f"it is of version {about.version}, not {_VERSION}")
            counts = parquet.scan(path).select("column", "n").collect()
            parts = counts.partition_by("column", as_dict=True, include_key=False, maintain_order=True)
            found = {
                c: _distribution(part.to_series().to_numpy(), about.numbers.get(c)) for (c,), part in parts.items()
            }
        except FileNotFoundError:
            raise
        except (*parquet.READ_ERRORS, ValidationError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{path} is no file of distributions ({reason}); remove it") from error
        return cls(about.rows, found, about.usual)


def _distribution(count_X: Whole, number: _Number | None) -> Distribution:
    if count_X.dtype != np.int64 or (count_X < 0).any():
        raise ValueError("counts should be whole numbers from 0 on")
    if number is None:
        return IdDistribution(count_X)
    if len(number.edges) + 2 != len(count_X):
        raise ValueError(f"{len(number.edges)} edges do not fit {len(count_X)} groups")
    return NumberDistribution(number.edges, tuple(map(int, count_X)), number.mean, number.deviation)


def encoded_columns(spec: FeatureSpec) -> list[str]:
    """The encoded columns that a model reads: ids, weights that raw rows give, and numbers."""
    found = []
    for name, feature in spec.features.items():
        kinds = {ID: feature.has_ids, WEIGHT: feature.has_weights, VALUE: feature.has_value}
        found += [kind + name for kind, is_there in kinds.items() if is_there]
    return found


def entries(rows: pl.LazyFrame, column: str) -> np.ndarray[Any, np.dtype[Any]]:
    """The entries of a column, those of lists one by one."""
    found = rows.select(column).collect(engine="streaming").to_series()
    return (found.explode(empty_as_null=False) if found.dtype == pl.List else found).to_numpy()


def _number(rows: pl.LazyFrame, count: int, column: str) -> NumberDistribution:
    sample = sampled(rows.select(column), sampling_step(count, _SAMPLE))
    return NumberDistribution.of(entries(rows, column), entries(sample, column))
