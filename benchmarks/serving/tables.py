"""Embedding tables in fewer bits: what they save, and what they cost in AUC."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.markdown import head, row
from benchmarks.serving.in_process import inputs_body, parts_of
from models.embedding.precisions import FLOAT32, Precision
from pipeline.comparison.packed import packed_run
from pipeline.comparison.scores import TestRows
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.windows import Window
from pipeline.evaluation.multitask import task_metrics
from pipeline.serving.answers import JSON, Answers
from pipeline.serving.export.exported import MODEL, export
from pipeline.serving.requests import Limits
from pipeline.serving.scorer import Scorer
from pipeline.training.training import train

SIZES = (1, 500)
Array = npt.NDArray[np.float64]


def measure_tables(config: RunConfig, raw: pl.DataFrame, requests: int) -> None:
    """Train a model, and print for each precision of its tables a row of a table in Markdown.

    Probabilities are those of all test rows. Times are of this process's CPU, a request of each precision in turn, so
    that their ratios hold on a busy machine.

    Args:
        config: The config of the model.
        raw: Some raw rows to ask for.
        requests: Number of requests of each size and precision.
    """
    prepared = prepare(config)
    run, folder = train(config, prepared), Path(f"{config.name}-model")
    Scorer.write(folder, encoder=prepared.folder / "encoder", packed=packed_run(run))
    scorers = {precision: Scorer.load(folder, precision) for precision in get_args(Precision)}
    rows = TestRows(prepared)
    window = Window.of(rows.features, prepared.encoder().spec, ())
    found = {precision: scorer.probability_NO(window) for precision, scorer in scorers.items()}
    sizes = {precision: _exported_bytes(scorer, config.name) for precision, scorer in scorers.items()}
    taken = _taken(scorers, raw, requests)
    aucs = [f"AUC {task}" for task in run.tasks]
    ways = [f"CPU of {way}" for way in taken]
    titles = [config.name, *aucs, "largest difference", "tables MB", "graph MB", *ways]
    print(f"{len(rows)} test rows, {len(scorers[FLOAT32].columns)} columns")
    print(*head(titles), sep="\n")
    for precision, scorer in scorers.items():
        metrics = task_metrics(rows.labels(run.tasks), found[precision], run.tasks)
        cells = [precision, *(f"{metrics[task]['auc']:.6f}" for task in run.tasks)]
        cells += [f"{np.abs(found[precision] - found[FLOAT32]).max():.1e}"]
        cells += [f"{size / 1e6:.2f}" for size in (scorer.table_bytes, sizes[precision])]
        cells += [f"{of[precision] / of[FLOAT32]:.2f} ({of[precision]:.2f} ms)" for of in taken.values()]
        print(row(cells), flush=True)


def _exported_bytes(scorer: Scorer, name: str) -> int:
    folder = Path(f"{name}-{scorer.tables}-graph")
    export(scorer, folder)
    return sum(path.stat().st_size for path in folder.glob(f"{MODEL}*"))


def _taken(scorers: Mapping[Precision, Scorer], raw: pl.DataFrame, requests: int) -> dict[str, dict[Precision, float]]:
    """Milliseconds of CPU of each way of asking, by precision: medians of requests."""
    taken: dict[str, dict[Precision, float]] = {}
    answers = {precision: Answers(scorer, Limits()) for precision, scorer in scorers.items()}
    for size in SIZES:
        parts = parts_of(raw, scorers[FLOAT32].columns, size)
        windows = [scorers[FLOAT32].window(raw[start : start + size]) for start in range(0, len(parts) * size, size)]
        bodies = [inputs_body(part) for part in parts]
        names = f"{size} row(s), network", f"{size} row(s), whole"
        taken[names[0]] = _medians({p: s.probability_NO for p, s in scorers.items()}, windows, requests)
        asked = {p: lambda body, one=one: one(body, JSON) for p, one in answers.items()}
        taken[names[1]] = _medians(asked, bodies, requests)
    return taken


def _medians(
    ways: Mapping[Precision, Callable[[Any], object]], inputs: Sequence[Any], requests: int
) -> dict[Precision, float]:
    taken: dict[Precision, list[float]] = {precision: [] for precision in ways}
    for number in range(requests):
        for precision, way in ways.items():
            started = time.process_time()
            way(inputs[number % len(inputs)])
            taken[precision].append(1000 * (time.process_time() - started))
    return {precision: median(times) for precision, times in taken.items()}
