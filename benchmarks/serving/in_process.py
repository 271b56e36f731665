"""Requests in process: from the body's bytes to the answer's, and without JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import polars as pl

from pipeline.serving.answers import Answers
from pipeline.serving.columns import RequestRows
from pipeline.serving.requests import Limits, read_request
from pipeline.serving.scorer import Scorer

WARM_UP = 50
# The features of the item and of its place on the page; all others are the user's and the moment's.
CANDIDATES = (
    "item_id department top_category category brand seller color shipping position item_tags price discount rating "
    "review_count item_age_days stock shipping_days relevance distance_km"
).split()


def measure(scorer: Scorer, rows: pl.DataFrame, sizes: Sequence[int], requests: int) -> None:
    """Print the times of requests of several sizes.

    Args:
        scorer: The model.
        rows: Raw rows to ask for.
        sizes: Numbers of rows of a request.
        requests: Number of requests of each kind; of those by expressions, a tenth.
    """
    print("in process: rows, columns, what: p50 ms, p95, p99 by the clock; the same of CPU time; rows a second of CPU")
    answers = Answers(scorer, Limits())
    ways: dict[str, Callable[[Any], object]] = {
        "encoded": scorer.rows.of_request,
        "encoded and scored": lambda some: scorer.probability_NO(scorer.window(some)),
    }
    for size in sizes:
        parts = parts_of(rows, scorer.columns, size)
        for form, make in {"all columns": inputs_body, "candidates": shared}.items():
            bodies = [make(part) for part in parts]
            asked = [read_request(body, scorer.columns, Limits()).rows for body in bodies]
            _print(size, form, "with JSON", bodies, lambda body: answers(body, "application/json"), requests)
            for what, way in ways.items():
                _print(size, form, what, asked, way, requests)
        frames = [RequestRows.of(part).frame() for part in parts]
        _print(size, "all columns", "scored by expressions", frames, scorer.score, max(requests // 10, 1))


def parts_of(rows: pl.DataFrame, columns: Sequence[str], size: int) -> list[dict[str, list[Any]]]:
    """Some requests of neighbouring rows, as JSON has them."""
    starts = range(0, min(rows.height - size, 50 * size) + 1, size)
    parts = (rows.select(columns)[start : start + size].to_dict(as_series=False) for start in starts)
    found: list[dict[str, list[Any]]] = [json.loads(json.dumps(part, default=str)) for part in parts]
    return found


def inputs_body(columns: dict[str, list[Any]]) -> bytes:
    """The body of a request that gives a list a column."""
    return json.dumps({"inputs": columns}).encode()


def shared(columns: dict[str, list[Any]]) -> bytes:
    """The body of a request for one user's candidates: the columns of the items by row, all others of the first row."""
    own = {name: values for name, values in columns.items() if name in CANDIDATES}
    return json.dumps({"shared": {n: v[0] for n, v in columns.items() if n not in own}, "rows": own}).encode()


def _print(size: int, form: str, what: str, inputs: Sequence[Any], way: Callable[[Any], object], requests: int) -> None:
    taken = np.array([*islice(_times(way, cycle(inputs)), WARM_UP, WARM_UP + requests)]) * 1000
    clock, cpu = (np.percentile(taken[:, column], [50, 95, 99]) for column in (0, 1))
    shown = " ".join(f"{one:8.2f}" for one in (*clock, *cpu))
    print(f"{size:4} {form:11} {what:22}: {shown} {1000 * size / taken[:, 1].mean():9.0f}", flush=True)


def _times(way: Callable[[Any], object], inputs: Iterator[Any]) -> Iterator[tuple[float, float]]:
    """Seconds by the clock, and of CPU: other jobs on the machine lengthen only the first."""
    for one in inputs:
        started = time.perf_counter(), time.process_time()
        way(one)
        yield time.perf_counter() - started[0], time.process_time() - started[1]
