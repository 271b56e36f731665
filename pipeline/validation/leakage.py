"""Features that leak a label: on a sample of the training rows a single one predicts it too well to be true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from features.encoder import ID, LABEL, VALUE
from features.errors import InputError
from features.fitting import fit
from features.spec import FeatureSpec
from pipeline.config.run import RunConfig
from pipeline.evaluation.ranking import Ranked, words
from pipeline.evaluation.standard_error import auc_standard_error
from pipeline.files import parquet
from pipeline.files.table import Table
from pipeline.validation.layout import Layout

# Number of rows of the sample, and number of pieces that it is read in, spread evenly over all files.
SAMPLE_ROWS, _PIECES = 100_000, 20
# A task is judged if the judged rows have at least this many of each class.
_FEWEST = 30
_FEATURES = 50

Floats = npt.NDArray[np.float64]


def check_leakage(config: RunConfig, paths: Sequence[Path]) -> None:
    """Refuse features that leak a label.

    One half of a sample gives every id its mean label. The AUCs of these means, and of plain numbers, are those on
    the other half.

    Args:
        config: Its contract has the limit, its spec the features.
        paths: Files with training rows that fit the config.

    Raises:
        InputError: If features exceed ``contract.leak_auc`` on a task by a standard error without permission. All
            such features are listed.
    """
    least = config.contract.leak_auc
    rows = training_sample(config, paths) if least else pl.DataFrame()
    if rows.height < 2:
        return
    found = feature_aucs(config.spec, rows, config.contract.leaks_allowed)
    fix = "remove the feature (and name its column in `[spec] excluded`), or name it in `[contract] leaks_allowed`"
    problems = [
        f"feature `{name}` alone has an AUC of {auc:.4f} ± {error:.4f} on task `{task}`; {fix}"
        for name, task, auc, error in found
        if auc - error >= least
    ]
    if problems:
        rule = f"on {rows.height} sampled rows they exceed `[contract] leak_auc`, {least:g}, by a standard error"
        raise InputError.of(f"features leak a label ({rule})", problems)


def training_sample(config: RunConfig, paths: Sequence[Path], most: int = SAMPLE_ROWS) -> pl.DataFrame:
    """A sample of training rows from all over the files, the same at every call.

    Args:
        config: Declares the columns and the split.
        paths: Files with training rows.
        most: Largest number of rows to read, of all splits.
    """
    common = Layout.read(config, {"train": Table(tuple(paths))}).schemas["train"]
    schema = pl.Schema({column: common[column] for column in sorted({config.split.column, *config.spec.sources})})
    frames = []
    for path, start, length in spread_pieces(paths, most):
        rows = parquet.collect(path, parquet.scan_as(path, schema, start, length))
        if not config.data.holdout:
            rows = rows.filter(rows.select(config.split.split_of(rows.schema, holdout=False)).to_series() == "train")
        frames.append(rows)
    return pl.concat(frames) if frames else pl.DataFrame()


def spread_pieces(paths: Sequence[Path], most: int) -> Iterator[tuple[Path, int, int]]:
    """File, first row and length of each piece; a piece that reaches the end of a file goes on in the next."""
    heights = [parquet.count_rows(path) for path in paths]
    total, length = sum(heights), most // _PIECES
    if total <= most:
        yield from ((path, 0, height) for path, height in zip(paths, heights, strict=True))
        return
    starts = [place * (total - length) // (_PIECES - 1) for place in range(_PIECES)]
    for path, height, end in zip(paths, heights, np.cumsum(heights).tolist(), strict=True):
        for start in starts:
            first, last = max(start, end - height), min(start + length, end)
            if first < last:
                yield path, first - (end - height), last - first


def feature_aucs(
    spec: FeatureSpec, rows: pl.DataFrame, allowed: tuple[str, ...]
) -> Iterator[tuple[str, str, float, float]]:
    """Feature, task, AUC and its standard error, for every task with enough rows of both classes.

    Args:
        spec: Declares the features.
        rows: Raw rows, half of them to learn ids on and half to judge.
        allowed: Features to leave out.
    """
    for names in _batches(spec, allowed):
        some = spec.model_copy(update={"features": {name: spec.features[name] for name in names}})
        yield from _aucs(some, rows.select(some.sources))


def _batches(spec: FeatureSpec, allowed: Sequence[str]) -> Iterator[list[str]]:
    """The features to judge, some at a time: the time of an encoder grows faster than its features.

    Features that share a table stay together, since its vocabulary is that of all of them.
    """
    together: dict[str, list[str]] = {}
    for name, feature in spec.features.items():
        together.setdefault(spec.table(name) if feature.has_vocabulary else f"{name} alone", []).append(name)
    batch: list[str] = []
    for names in together.values():
        batch += [] if {*names} <= {*allowed} else names
        if len(batch) >= _FEATURES:
            yield batch
            batch = []
    if batch:
        yield batch


def _aucs(spec: FeatureSpec, rows: pl.DataFrame) -> Iterator[tuple[str, str, float, float]]:
    """As :func:`feature_aucs`, of all features."""
    halves = [rows.gather_every(2, offset) for offset in (0, 1)]
    encoder = fit(_with_ids(spec), halves[0].lazy())
    fitted, judged = (encoder.encode(half.lazy()).collect() for half in halves)
    labels = {task: [_label(half, task) for half in (fitted, judged)] for task in spec.tasks}
    known = {t: (a, b) for t, (a, b) in labels.items() if _enough(b) and not np.isnan(a).all()}
    for name in spec.features:
        by_id = _MeanById(*(half.get_column(ID + name) for half in (fitted, judged))) if ID + name in judged else None
        value = judged.get_column(VALUE + name).rank("average") / judged.height if VALUE + name in judged else None
        for task, (label_A, label_B) in known.items():
            auc = 0.5 if by_id is None else _auc(label_B, by_id.scores(label_A))
            alone = 0.5 if value is None else _auc(label_B, value.to_numpy())
            best = max(auc, alone, 1 - alone)
            yield name, task, best, _error(best, label_B)


def _with_ids(spec: FeatureSpec) -> FeatureSpec:
    """The spec with ids for every feature that can have ids: a bucket finds a number that leaks by being null."""
    return spec.model_copy(update={"features": {name: f.with_ids() for name, f in spec.features.items()}})


def _label(rows: pl.DataFrame, task: str) -> Floats:
    """0, 1, or NaN where unknown."""
    return np.asarray(rows.get_column(LABEL + task).cast(pl.Float64).fill_null(float("nan")).to_numpy())


def _enough(label_N: Floats) -> bool:
    return min(int((label_N == one).sum()) for one in (0, 1)) >= _FEWEST


class _MeanById:
    """Scores rows by the mean label of their id, or of their several ids.

    Args:
        id_A: Ids of the rows that labels are learnt on.
        id_B: Ids of the rows to score.
    """

    def __init__(self, id_A: pl.Series, id_B: pl.Series) -> None:
        (ids_A, self._row_A), (ids_B, self._row_B) = _flat(id_A), _flat(id_B)
        # Renumbered: hashed ids range over their whole table, however few occur.
        distinct, places = np.unique(np.concatenate([ids_A, ids_B]), return_inverse=True)
        self._id_A, self._id_B = np.split(places, [len(ids_A)])
        self._size = len(distinct)

    def scores(self, label_A: Floats) -> Floats:
        """The score of each row: its id's mean label, smoothed by one row of the overall mean label."""
        label_N = label_A[self._row_A]
        known_N = ~np.isnan(label_N)
        ids, labels = self._id_A[known_N], label_N[known_N]
        rows = np.bincount(ids, minlength=self._size)
        mean = (np.bincount(ids, labels, self._size) + labels.mean()) / (rows + 1)
        return np.asarray(np.bincount(self._row_B, mean[self._id_B]) / np.bincount(self._row_B))


def _flat(ids: pl.Series) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """All ids one after another, and the row of each."""
    rows = np.arange(len(ids))
    if ids.dtype != pl.List:
        return ids.to_numpy(), rows
    return ids.explode().to_numpy(), np.repeat(rows, ids.list.len().to_numpy())


def _auc(label_N: Floats, score_N: Floats) -> float:
    known_N = ~np.isnan(label_N)
    ranked = Ranked(len(label_N))
    ranked.add(words(score_N[known_N].clip(0, 1), label_N[known_N] == 1))
    return ranked.curve().auc()[0]


def _error(auc: float, label_N: Floats) -> float:
    """Standard error of an AUC: without it, chance would find leaks in a few hundred rows."""
    positives, negatives = (int((label_N == one).sum()) for one in (1, 0))
    return auc_standard_error(auc, positives, negatives)
