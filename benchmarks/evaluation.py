"""Rows a second of the evaluator against scikit-learn's AUC: `python -m benchmarks.evaluation [ROWS]`.

One task, skewed scores, batches of 8192, one group for ten rows. Each way is timed in turn, three rounds in one
process, from the first batch to the result with all metrics, and the median is printed. scikit-learn gets whole arrays,
and computes the AUC alone. A histogram gets ten times as many rows as its limit.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import numpy as np
from sklearn.metrics import roc_auc_score

from pipeline.evaluation.metrics import Evaluator

BATCH = 8192
ROUNDS = 3


def main(rows: int = 2_000_000) -> None:
    """Print one line a way."""
    draw = np.random.default_rng(0)
    score_N1 = draw.random((rows, 1), np.float32) ** 3
    label_N1 = (draw.random((rows, 1)) < score_N1).astype(np.float32)
    group_N = draw.integers(0, rows // 10, rows)
    exact = float(roc_auc_score(label_N1, score_N1))

    def evaluator(limit: int, groups: bool) -> tuple[dict[str, float], int]:
        held = Evaluator(["task"], limit=limit)
        for start in range(0, rows, BATCH):
            part = slice(start, start + BATCH)
            held.update(label_N1[part], score_N1[part], group_N[part] if groups else None)
        return held.result()["task"], held.nbytes

    ways: dict[str, Callable[[], tuple[dict[str, float], int]]] = {
        "scikit-learn": lambda: ({"auc": float(roc_auc_score(label_N1, score_N1))}, 0),
        "exact": lambda: evaluator(rows, groups=False),
        "histogram": lambda: evaluator(rows // 10, groups=False),
        "exact, groups": lambda: evaluator(rows, groups=True),
        "histogram, groups": lambda: evaluator(rows // 10, groups=True),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            started = time.perf_counter()
            metrics, held = way()
            taken[name].append(time.perf_counter() - started)
            if len(taken[name]) == ROUNDS:
                _print(name, rows, median(taken[name]), median(taken["scikit-learn"]), held, metrics, exact)


def _print(
    name: str, rows: int, seconds: float, reference: float, held: int, metrics: dict[str, float], exact: float
) -> None:
    off = f"{abs(metrics['auc'] - exact):.0e} of at most {metrics.get('auc_error', 0):.0e}"
    print(
        f"{name:18} {rows / seconds:12,.0f} rows/s {reference / seconds:6.2f} x {held / 1e6:6.0f} MB   AUC off by {off}"
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
