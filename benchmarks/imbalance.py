"""What each option for rare tasks does to AUC, log loss and calibration: `python -m benchmarks.imbalance rare`.

`rare` generates a click log whose tasks conflict (`gradops synth clicklog --conflict 0.75`), and draws its labels anew
from their true probabilities with the log-odds shifted, so that 10 %, 1.8 % and 0.3 % of the rows are positive. `visits
--file FILE` takes a real log with the columns of `taobao_userbehavior_visits.parquet`. Both are split by time. Each
option of :data:`OPTIONS` changes one thing of the same base config; runs of one thread follow one another. Finished
runs are found again, so that an interrupted command goes on. Figures are means over the seeds, of the test rows unless
said.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl

from benchmarks.markdown import head, row
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.files.atomic import durable
from pipeline.runs.run import Run
from pipeline.sources import clicklog
from pipeline.training.resolve import load_config
from pipeline.training.training import train

Figures = Callable[[Run, str, str], dict[str, float]]


def kept(run: Run, split: str, task: str) -> dict[str, float]:
    """The metrics of the run."""
    figures: dict[str, float] = getattr(run, split)[task]
    return figures


def uncalibrated(run: Run, split: str, task: str) -> dict[str, float]:
    """Those without its calibrators."""
    return run.uncalibrated[split][task]


ROWS, DAYS = 280_000, 7
RATES = {"purchase": 0.003, "cart": 0.1, "wish": 0.018}
_PLATT = ("train.calibration=platt",)
# Each line of the table: the overrides of its runs, and the metrics that are read from them. Calibrators change no
# step, so that one run has the figures of two lines.
OPTIONS: dict[str, tuple[tuple[str, ...], Figures]] = {
    "base": (_PLATT, uncalibrated),
    "calibration platt": (_PLATT, kept),
    "calibration isotonic": (("train.calibration=isotonic",), kept),
    "task_snapshots": (("train.task_snapshots=true",), kept),
    "task_patience 1": (("train.task_patience=1",), kept),
    "task_patience 1, task_snapshots": (("train.task_patience=1", "train.task_snapshots=true"), kept),
    "prior_bias": (("train.prior_bias=true",), kept),
    "schedule warmup": (("train.schedule=warmup",), kept),
    "inverse_entropy": (("train.task_weights=inverse_entropy",), kept),
    "sqrt_inverse_rate": (("train.task_weights=sqrt_inverse_rate",), kept),
    "inverse_rate": (("train.task_weights=inverse_rate",), kept),
    "keep_negatives 0.5": (("train.keep_negatives=0.5",), kept),
    "keep_negatives 0.1": (("train.keep_negatives=0.1",), kept),
}
_COLUMNS = (
    *(("auc", "val", 4), ("auc", "test", 4), ("logloss", "test", 5)),
    *(("calibration", "test", 2), ("calibration_error", "test", 4)),
)
_BASE = """
[train]
epochs = 4
batch_size = 1024
lr = 1e-3
schedule = "constant"
table_optimizer = "rowwise_adagrad"
table_lr = 0.05
prior_bias = false
"""
_RARE = """
name = "rare"
[split]
time = "timestamp"
validation = 2026-01-04
test = 2026-01-06
[contract]
unique = ["click_id"]
[model]
bottom = [128, 64]
dropout = 0.1
[spec]
excluded = ["click_id"]
width = 8
"""
_VISITS = """
name = "visits"
[split]
time = "timestamp"
unit = "s"
validation = 0.1
test = 0.1
[model]
bottom = [64, 32]
dropout = 0.1
[spec]
width = 8
[spec.tasks]
purchase = { positive = "purchase = 1" }
cart = { positive = "cart = 1" }
wish = { positive = "wish = 1" }
[spec.features]
user_id = { kind = "categorical", min_count = 2 }
item_id = { kind = "categorical", min_count = 2 }
category_id = { kind = "categorical", min_count = 2 }
"""


def rare_log(folder: Path) -> Path:
    """The generated log with rarer labels, written to a folder unless it is there."""
    source = folder / "log"
    options = clicklog.Options(rows=ROWS, days=DAYS, conflict=0.75)
    clicklog.generate(options, source)
    out, draw = folder / "rare", np.random.default_rng(0)
    if out.exists():
        return out
    paths = sorted(path.relative_to(source) for path in source.glob("dt=*/*.parquet"))
    truth = pl.concat([pl.read_parquet(folder / "log-truth" / path) for path in paths])
    logits = {task: _shifted(truth.get_column(f"p_{task}").to_numpy(), rate) for task, rate in RATES.items()}
    start = 0
    with durable(out) as draft:
        for path in paths:
            rows = pl.read_parquet(source / path)
            part = slice(start, start + rows.height)
            start += rows.height
            chances = {task: 1 / (1 + np.exp(-logit_N[part])) for task, logit_N in logits.items()}
            labels = {task: pl.Series((draw.random(rows.height) < chances[task]).astype(np.int8)) for task in chances}
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            rows.with_columns(**labels).write_parquet(draft / path)
    return out


def _shifted(chance_N: np.ndarray, rate: float) -> np.ndarray:
    """The log-odds of probabilities, shifted until the mean probability is a rate, by bisection."""
    logit_N, low, high = np.log(chance_N / (1 - chance_N)), -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-logit_N - middle))).mean() < rate else (low, middle)
    shifted: np.ndarray = logit_N + (low + high) / 2
    return shifted


def base_config(name: str, folder: Path, file: Path | None) -> Path:
    """The base config of a log, written to the folder with the log's own rows."""
    folder.mkdir(parents=True, exist_ok=True)
    if name == "rare":
        shared = (Path(__file__).parent.parent / "configs" / "clicklog.toml").read_text()
        spec = shared[shared.index("[spec.tasks]") :]
        text = _RARE + spec + f'\n[data]\ntrain = "{rare_log(folder)}/**/*.parquet"\n'
    else:
        if file is None:
            raise SystemExit("`visits` needs `--file`, the Parquet file of the log")
        numbers = [c for c in pl.scan_parquet(file).collect_schema().names() if "_prior_" in c]
        text = _VISITS + "\n".join(f'{c} = {{ kind = "numeric", log1p = true }}' for c in numbers)
        text += f'\n[data]\ntrain = "{file}"\n'
    path = folder / f"{name}.toml"
    places = f'\nprepared = "{folder}/prepared"\n'
    path.write_text(f'runs = "{folder}/runs"\n' + text + places + _BASE)
    return path


def measured(path: Path, options: Sequence[str], seeds: int) -> list[Run]:
    """The runs of an option, one a seed."""
    configs = [load_config(path, [*options, f"train.seed={seed}"]) for seed in range(seeds)]
    return [train(config, prepare(config)) for config in configs]


def line(config: RunConfig, name: str, runs: Sequence[Run], figures: Figures) -> str:
    """A row of the table: validation and test AUC, log loss and calibration of each task, and seconds of training."""
    cells = [name]
    for metric, split, digits in _COLUMNS:
        means = (fmean(figures(run, split, task)[metric] for run in runs) for task in config.tasks)
        cells.append(" / ".join(f"{mean:.{digits}f}" for mean in means))
    cells.append(f"{fmean(sum(epoch.seconds for epoch in run.history) for run in runs):.0f}")
    return row(cells)


def main() -> None:
    """Train every option and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", choices=["rare", "visits"])
    parser.add_argument("--file", type=Path, help="of `visits`: the Parquet file")
    parser.add_argument("--folder", type=Path, default=Path("imbalance"), help="for data and runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--options", nargs="*", default=list(OPTIONS))
    parser.add_argument("--set", nargs="*", default=[], help="overrides of the base config")
    arguments = parser.parse_args()
    path = base_config(arguments.log, arguments.folder / arguments.log, arguments.file)
    config = load_config(path, arguments.set)
    labels = prepare(config).manifest["splits"]
    print(json.dumps({split: labels[split] for split in ("train", "val", "test")}))
    heads = ["option", "validation AUC", "test AUC", "log loss", "predicted / actual", "calibration error", "s"]
    print(f"Tasks, in order: {', '.join(config.tasks)}.\n")
    print(*head(heads), sep="\n")
    for name in arguments.options:
        options, figures = OPTIONS[name]
        runs = measured(path, [*arguments.set, *options], arguments.seeds)
        print(line(config, name, runs, figures), flush=True)


if __name__ == "__main__":
    main()
