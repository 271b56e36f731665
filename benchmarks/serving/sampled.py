"""What a sample of the scored rows costs a request, in processor time of all threads."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.serving.in_process import shared
from pipeline.serving.answers import Answers
from pipeline.serving.requests import Limits
from pipeline.serving.sample.live import LiveSample
from pipeline.serving.scorer import Scorer

ROUNDS, SHARES = 15, (None, 0.01, 1.0)


def measure_sampling(scorer: Scorer, rows: pl.DataFrame, sizes: Sequence[int], requests: int) -> None:
    """Print the median processor milliseconds of a request without a sample and with samples, and their ratios.

    Blocks of requests take turns, so that a change of the machine meets all of them. A block ends when its rows are
    collected; files are written when they are full, as in a server.

    Args:
        scorer: The model.
        rows: Raw rows to ask for; a request of several is of one user's candidates.
        sizes: Numbers of rows of a request.
        requests: Number of requests of a block.
    """
    print("sampled: rows a request; CPU ms without, and with a share (ratio to without, by the median of rounds)")
    for size in sizes:
        columns = json.loads(json.dumps(rows.select(scorer.columns)[:size].to_dict(as_series=False), default=str))
        body = json.dumps({"inputs": columns}).encode() if size == 1 else shared(columns)
        ways = {share: LiveSample(Path("sample"), share, 1 << 30) if share else None for share in SHARES}
        taken: dict[float | None, list[float]] = {share: [] for share in SHARES}
        for _ in range(ROUNDS + 1):
            for share, sample in ways.items():
                answers = Answers(scorer, Limits(), sample)
                started = time.process_time()
                for _ in range(requests):
                    answers(body, "application/json")
                while sample is not None and sample.waiting:
                    time.sleep(0.001)
                taken[share].append((time.process_time() - started) / requests * 1000)
        rounds = {share: times[1:] for share, times in taken.items()}  # the first one warms up
        shown = []
        for share, times in rounds.items():
            ratio = median(one / without for one, without in zip(times, rounds[None], strict=True))
            shown.append(f"{share or 'none'}: {median(times):.3f} ({ratio:.3f})")
            if (sample := ways[share]) is not None:
                sample.close()
        print(f"{size:4} rows: {', '.join(shown)}", flush=True)
