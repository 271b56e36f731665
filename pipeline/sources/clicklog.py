"""Generates a click log from a seed, with the true probabilities of its labels.

``OUT/dt=2026-01-01/part-0000.parquet`` holds clicks, in time order: ``click_id``, ``timestamp``, 46 features (two ids
with a long tail, 24 categoricals, 5 lists, one of them weighted, 15 numbers) and the labels ``purchase``, ``cart`` and
``wish`` (null for 2 %: unknown). ``OUT-truth/`` holds the same parts with ``click_id`` and each label's true
probability, so that the best reachable AUC is known. :mod:`pipeline.sources.clicktruth` is the model of the labels.

A part is one chunk of a day and depends only on the options, its day and its number: memory is that of one chunk, and
an interrupted log goes on from its finished parts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from features.errors import InputError
from pipeline.evaluation.multitask import task_metrics
from pipeline.files import parquet
from pipeline.files.atomic import atomic, remove_drafts
from pipeline.sources.clicktruth import TASKS, Truth
from pipeline.sources.clickworld import MAX_A_DAY, World, click_ids
from pipeline.sources.source import GeneratedSource

UNKNOWN_WISH = 0.02
_SAMPLE = 2_000_000
_STARTED, _FINISHED = "parameters.json", "manifest.json"
# Raise this number when equal options give another log.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a log; equal options give equal logs.

    Args:
        rows: Number of clicks of all days together, shared out evenly.
        days: Number of days.
        users: Number of users that may click.
        items: Number of items that may be clicked.
        seed: Seed of the users, the items, the effects and the clicks.
        conflict: From 0, where effects that raise purchases also raise wishes, to 1, where they lower wishes.
        first_day: The first day. Two logs of one seed share users, items and effects, on any day.
    """

    rows: int = 1_000_000
    days: int = 7
    users: int = 200_000
    items: int = 50_000
    seed: int = 0
    conflict: float = 0.5
    first_day: date = date(2026, 1, 1)

    def problems(self) -> Iterator[str]:
        """The problems of options that are out of range."""
        for name, most in {"rows": None, "days": None, "users": 2**31, "items": 2**31}.items():
            value = getattr(self, name)
            if value < 1 or (most and value > most):
                yield f"`--{name}` should be at least 1{f' and at most {most}' if most else ''}, found {value}"
        if self.seed < 0:
            yield f"`--seed` should not be negative, found {self.seed}"
        if not 0 <= self.conflict <= 1:
            yield f"`--conflict` should be in [0, 1], found {self.conflict}"
        if self.days >= 1 and self.rows > MAX_A_DAY * self.days:
            yield f"`--rows` should be at most {MAX_A_DAY} a day, found {self.rows} in {self.days} day(s)"
        if self.days > (date.max - self.first_day).days:
            yield f"`--days` after {self.first_day} should end before the year 10000, found {self.days}"


@dataclass(frozen=True)
class FileSizes:
    """The sizes of a log's files.

    Args:
        chunk: Largest number of rows of a file.
        row_group: Largest number of rows of a row group.
    """

    chunk: int = 262_144
    row_group: int = 65_536


@dataclass(frozen=True)
class LogPart:
    """One file of the log: the ``chunk``-th of the ``chunks`` of a day, from the day's row ``first`` on."""

    day: date
    chunk: int
    chunks: int
    first: int
    rows: int

    @property
    def path(self) -> Path:
        """The part's path below the folder of the log, and below that of the truth."""
        return Path(f"dt={self.day}") / f"part-{self.chunk:04}.parquet"


def parts(options: Options, sizes: FileSizes = FileSizes()) -> list[LogPart]:
    """The files of a log, in order. A day's rows are shared out evenly over as few chunks as possible."""
    found = []
    for number in range(options.days):
        rows = options.rows // options.days + (number < options.rows % options.days)
        chunks = -(-rows // sizes.chunk)
        ends = [rows * k // chunks for k in range(chunks + 1)] if chunks else []
        day = options.first_day + timedelta(number)
        found += [LogPart(day, k, chunks, ends[k], ends[k + 1] - ends[k]) for k in range(chunks)]
    return found


def generate(
    options: Options, out: Path, made: Callable[[int], None] = lambda _: None, sizes: FileSizes = FileSizes()
) -> dict[str, Any]:
    """Make a log, finish an interrupted one, or find it complete.

    Args:
        options: Options of the log.
        out: Folder of the log; the truth goes to a sibling folder, with ``-truth`` appended to the name.
        made: Called with the number of rows of each part that exists.
        sizes: Sizes of the files.

    Returns:
        ``rows``, ``days``, ``positive_rates`` and ``ceiling_auc``, the AUC of the true probabilities.

    Raises:
        InputError: If an option is out of range, or a folder holds something else. All problems are named.
        filelock.Timeout: If another process writes this log.
    """
    if problems := [*options.problems(), *_in_the_way(options, out)]:
        raise InputError.of("this click log cannot be generated", problems)
    out.mkdir(parents=True, exist_ok=True)
    with FileLock(out.with_name(f".{out.name}.lock"), timeout=0):
        if not (out / _FINISHED).exists():
            _write_json(out / _STARTED, _parameters(options))
            _generate(options, out, made, sizes)
            summary = _summary(options, out, sizes)
            _write_json(out / _FINISHED, {"parameters": _parameters(options), "versions": _versions(), **summary})
    manifest = json.loads((out / _FINISHED).read_text())
    return {name: manifest[name] for name in ("rows", "days", "positive_rates", "ceiling_auc")}


def truth_folder(out: Path) -> Path:
    """The folder of a log's true probabilities."""
    return out.with_name(f"{out.name}-truth")


def _generate(options: Options, out: Path, made: Callable[[int], None], sizes: FileSizes) -> None:
    remove_drafts(out)
    remove_drafts(truth_folder(out))
    world = World(options.seed, options.users, options.items)
    truth = Truth(world, options.conflict)
    for part in parts(options, sizes):
        if not all((folder / part.path).exists() for folder in (out, truth_folder(out))):
            clicks, probabilities = chunk(options, part, world, truth)
            # The truth first, so that a part of the log always has its truth.
            _write(probabilities, truth_folder(out) / part.path, sizes)
            _write(clicks, out / part.path, sizes)
        made(part.rows)


def chunk(options: Options, part: LogPart, world: World, truth: Truth) -> tuple[pa.Table, pa.Table]:
    """The clicks of one part, and their true probabilities."""
    clicks = world.clicks(part.day, part.chunk, part.chunks, part.rows)
    probability_NT = truth.probabilities(clicks)
    seeds = np.random.SeedSequence((options.seed, 3, part.day.toordinal(), part.chunk))
    generator = np.random.Generator(np.random.PCG64(seeds))
    label_TN = (generator.random(probability_NT.shape) < probability_NT).T.astype(np.int8)
    unknown_N = generator.random(part.rows) < UNKNOWN_WISH
    table = world.table(clicks, part.day, part.first)
    for task, label_N in zip(TASKS, label_TN, strict=True):
        table = table.append_column(task, pa.array(label_N, mask=unknown_N if task == "wish" else None))
    known = {"click_id": click_ids(part.day, part.first, part.rows)}
    return table, pa.table(known | {f"p_{task}": p_N.copy() for task, p_N in zip(TASKS, probability_NT.T, strict=True)})


def _write(table: pa.Table, target: Path, sizes: FileSizes) -> None:
    # Writing is most of the work: statistics only for sorted columns, dictionaries only where they already exist.
    options = {"write_statistics": ["timestamp", "click_id"], "use_dictionary": [*_texts(table.schema)]}
    with atomic(target) as draft:
        # Without the stored schema, readers see text instead of the dictionaries from which it was written.
        pq.write_table(
            table,
            draft,
            row_group_size=sizes.row_group,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            **options,
        )


def _texts(schema: pa.Schema) -> Iterator[str]:
    """Parquet's paths of the columns and lists of text."""
    for field in schema:
        is_list = pa.types.is_list(field.type)
        if pa.types.is_dictionary(field.type.value_type if is_list else field.type):
            yield f"{field.name}.list.element" if is_list else field.name


def _summary(options: Options, out: Path, sizes: FileSizes) -> dict[str, Any]:
    paths = [part.path for part in parts(options, sizes)]
    log = parquet.scan_all([out / path for path in paths])
    rates = log.select(pl.col(TASKS).mean()).collect().row(0, named=True)
    sampled = paths[:: -(-options.rows // _SAMPLE)]
    aucs = {}
    for task in TASKS:
        labels, truths = (parquet.scan_all([f / path for path in sampled]) for f in (out, truth_folder(out)))
        label = labels.select(task).collect().to_numpy().astype(np.float32)
        probability = truths.select(f"p_{task}").collect().to_numpy()
        auc = task_metrics(label, probability, [task])[task]["auc"]
        aucs[task] = None if np.isnan(auc) else auc
    return {"rows": options.rows, "days": options.days, "positive_rates": rates, "ceiling_auc": aucs}


def _in_the_way(options: Options, out: Path) -> Iterator[str]:
    """Problems of the present content of the folders."""
    try:
        held = json.loads((out / _STARTED).read_text())
        asked = _parameters(options)
        different = [f"{k} = {held.get(k)!r}, not {asked[k]!r}" for k in asked if held.get(k) != asked[k]]
        if different:
            yield f"{out} holds another log ({', '.join(different)}); remove it or choose another `--out`"
    except (OSError, ValueError, AttributeError):
        for folder in (out, truth_folder(out)):
            if folder.exists() and not (folder.is_dir() and all(p.name.endswith(".draft") for p in folder.iterdir())):
                yield f"{folder} holds something other than a generated click log; choose another `--out`"


def _parameters(options: Options) -> dict[str, Any]:
    return {"format": _FORMAT} | {k: str(v) if isinstance(v, date) else v for k, v in asdict(options).items()}


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("numpy", "pyarrow", "gradops")}


def _write_json(target: Path, content: dict[str, Any]) -> None:
    with atomic(target) as draft:
        draft.write_text(json.dumps(content, indent=1))


SOURCE = GeneratedSource(Options, generate, lambda out: {"out": out, "truth": truth_folder(out)})
