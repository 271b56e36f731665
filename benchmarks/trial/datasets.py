"""The trial's data sets: their configs, their rows, and what is known of the truth."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.trial import world
from pipeline.config.run import RunConfig
from pipeline.files.atomic import atomic
from pipeline.sources import clicklog
from pipeline.sources.clicktruth import TASKS
from pipeline.training.resolve import load_config

CONFIGS = Path(__file__).parent / "configs"
VISITS, CENSUS = "GRADOPS_TRIAL_VISITS", "GRADOPS_TRIAL_CENSUS"
_CLICKS = {"rows": 280_000, "days": 7}
Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Drawn:
    """One draw of a data set.

    Args:
        overrides: Where its raw rows are, and by which days they are split.
        chance_NT: The true probabilities of the test rows' labels, in their order; None where nobody knows them.
    """

    overrides: Sequence[str]
    chance_NT: Floats | None = None


class MissingDataError(Exception):
    """A real log is not on this machine."""


@dataclass(frozen=True)
class Dataset:
    """A data set, or an ablation of one.

    Args:
        name: Its name.
        config: The name of its config.
        drawn: Draws it: the number of the draw and a folder for its files to its rows.
        objectives: Places of the tasks whose AUCs are averaged into each axis of a front.
        axes: What the axes of a front are called.
        is_redrawn: Whether the runs of a seed have rows of their own, drawn anew; real rows stay the same.
        recipe: All that decides on its rows, besides the number of the draw.
        changes: What an ablation changes in the config.
    """

    name: str
    config: str
    drawn: Callable[[int, Path], Drawn]
    objectives: Sequence[Sequence[int]]
    axes: Sequence[str]
    is_redrawn: bool
    recipe: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tasks(self) -> int:
        """Number of its tasks: each has its place in one objective."""
        return sum(map(len, self.objectives))

    @cached_property
    def identity(self) -> str:
        """A fingerprint of config, recipe and changes; what else decides on a run is in the run's own fingerprint."""
        made_of = [*_sections(CONFIGS / f"{self.config}.toml"), self.recipe, self.changes]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True, default=str).encode()).hexdigest()[:12]

    def draw_of(self, seed: int) -> int:
        """The draw of the rows that a seed's runs have."""
        return seed if self.is_redrawn else 0

    def config_of(self, draw: int, folder: Path) -> tuple[RunConfig, Drawn]:
        """The config of a draw, and the draw; generated rows are written unless they are there."""
        drawn = self.drawn(draw, folder)
        places = [f'data.prepared="{folder}/prepared"', f'runs="{folder}/runs"']
        changes = [f"{key}={json.dumps(value)}" for key, value in self.changes.items()]
        return load_config(CONFIGS / f"{self.config}.toml", [*places, *drawn.overrides, *changes]), drawn

    def changed(self, name: str, changes: Mapping[str, Any]) -> Dataset:
        """An ablation."""
        return replace(self, name=f"{self.name}-{name}", changes=changes)


def _sections(path: Path) -> list[Any]:
    """What a config and those that it extends say of split, network, training and columns."""
    content = tomllib.loads(path.read_text())
    own = {name: content.get(name) for name in ("without", "split", "model", "train", "spec")}
    return [own, *(_sections(path.parent / content["extends"]) if "extends" in content else ())]


def log8(conflict: float, rows: Mapping[str, int] = world.ROWS, *, is_mixed: bool = False) -> Dataset:
    """The generated log of eight tasks; mixed, a task's angle has nothing to do with its rarity."""
    name = f"log8-{conflict:g}{'-mixed' if is_mixed else ''}"

    def drawn(draw: int, folder: Path) -> Drawn:
        log = world.World(conflict, is_mixed=is_mixed).log(draw, dict(rows))
        path = folder / f"{name}-{draw}.parquet"
        if not path.exists():
            with atomic(path) as draft:
                log.frame.write_parquet(draft)
        return Drawn([f'data.train="{path}"'], log.chance_NT[-rows["test"] :].copy())

    common, rare = range(4), range(4, 8)
    recipe = f"{world.RECIPE} {conflict} {sorted(rows.items())}{f' {world.MIXED}' if is_mixed else ''}"
    return Dataset(name, "log8", drawn, (common, rare), ("common", "rare"), True, recipe)


def clicks(conflict: float) -> Dataset:
    """The generated log of three tasks; every draw is another week of the same world."""

    def drawn(draw: int, folder: Path) -> Drawn:
        first = date(2026, 1, 1) + timedelta(7 * draw)
        out = folder / f"clicks-{conflict:g}-{draw}"
        clicklog.generate(clicklog.Options(**_CLICKS, conflict=conflict, first_day=first), out)
        val, test = first + timedelta(5), first + timedelta(6)
        truth = pl.read_parquet(sorted((clicklog.truth_folder(out) / f"dt={test}").glob("*.parquet")))
        chance_NT = truth.select(f"p_{task}" for task in TASKS).to_numpy()
        days = [f"split.validation={val}", f"split.test={test}"]
        return Drawn([f'data.train="{out}/**/*.parquet"', *days], chance_NT)

    recipe = f"{_CLICKS} {conflict}"
    return Dataset(f"clicks-{conflict:g}", "clicklog", drawn, ((0,), (1,), (2,)), TASKS, True, recipe)


def _census(draw: int, folder: Path) -> Drawn:
    del draw, folder
    there = Path(os.environ.get(CENSUS, "data/census"))
    if not (there / "train.parquet").exists():
        raise MissingDataError(
            f"Census-income is not in {there}: `gradops fetch census`, or give its folder as ${CENSUS}"
        )
    return Drawn([f'data.train="{there}/train.parquet"', f'data.holdout="{there}/test.parquet"'])


def _visits(draw: int, folder: Path) -> Drawn:
    del draw, folder
    there = Path(os.environ.get(VISITS, ""))
    if not there.is_file():
        raise MissingDataError(f"the log of visits is not there: give its Parquet file as ${VISITS}")
    return Drawn([f'data.train="{there}"'])


_THREE = ((0,), (1,), (2,))
CENSUS_DATA = Dataset("census", "census", _census, _THREE, ("income", "marital", "education"), False, "UCI, halves")
VISITS_DATA = Dataset("visits", "visits", _visits, _THREE, ("purchase", "cart", "wish"), False, "94,424 rows")
MAIN = (log8(1), CENSUS_DATA)
REST = (log8(0), log8(0.5), log8(1, is_mixed=True), clicks(1), clicks(0), clicks(0.5), VISITS_DATA)
_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "adam": {"train.table_optimizer": "adam"},
    "sgd": {"train.table_optimizer": "sgd"},
    "narrow": {"model.bottom": [8, 4]},
    "wide": {"model.bottom": [256, 128]},
}
ABLATIONS = tuple(dataset.changed(name, changes) for name, changes in _CHANGES.items() for dataset in MAIN)
DATASETS = {dataset.name: dataset for dataset in (*MAIN, *REST, *ABLATIONS)}
