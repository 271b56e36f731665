"""The space of the preset `best`: every choice is a config, the first one is the config as it is written."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from features.encoder import Table
from features.errors import InputError
from jobs.search import changes_of
from pipeline.config.run import ModelConfig, RunConfig
from pipeline.runs.run import architecture_of
from pipeline.search.best import ARCHITECTURES
from pipeline.search.preset_space import PresetSpace
from pipeline.training.resolve import load_config
from tests.conftest import ROOT, debug_config

BEST = 'search={preset="best"}'
TABLES = [Table("state_prev_res", 5000, 8, ("state_prev_res",)), Table("age", 9000, 8, ("age",))]
ROWS = 200_000
FEW_ROWS = 40_000  # fewer than ten a value of the ids


class Drawn:
    """Draws prescribed values, and others at random."""

    def __init__(self, fixed: Mapping[str, Any], seed: int = 0) -> None:
        self.fixed, self.random = fixed, random.Random(seed)
        self.found: dict[str, Any] = {}

    def suggest_categorical(self, name: str, choices: list[str]) -> str:
        assert self.fixed.get(name, choices[0]) in choices
        return str(self._kept(name, self.random.choice(choices)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        assert 0 < low < high or not log
        return float(self._kept(name, self.random.uniform(low, high)))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int:
        return int(self._kept(name, self.random.randint(low, high)))

    def _kept(self, name: str, value: Any) -> Any:
        return self.found.setdefault(name, self.fixed.get(name, value))


def best(*overrides: str) -> RunConfig:
    return debug_config(Path(), BEST, *overrides)


def space(config: RunConfig, rows: int = ROWS) -> PresetSpace:
    return PresetSpace(config, TABLES, rows)


def test_ids_with_many_rows_a_value_are_not_left_out_at_first() -> None:
    many, few = (space(best(), rows).prescribed() for rows in (ROWS, FEW_ROWS))
    assert not any("left out" in fixed.values() for fixed in many)
    assert any(fixed.get("ids state_prev_res") == "left out" for fixed in few)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train.method=gradops(alpha=-2)", "train.table_lr=0.02", "model.dropout=0.25"),
        ('model={kind="mmoe",experts=3,expert=[7]}', "train.ids={age={min_count=2}}"),
        ('model={kind="esmm",given={income="marital"}}', "train.epochs=3", "train.max_steps=0"),
        ("train.tasks=['income']", "spec.tasks.income.weight=3"),
    ],
)
def test_the_first_point_is_the_config_as_it_is_written(overrides: tuple[str, ...]) -> None:
    config = best(*overrides)
    first = space(config).prescribed()[0]
    choice = space(config).choose(Drawn(first))
    run = choice.config(config, config.train.seed)
    assert run.model_dump(exclude={"search"}) == config.model_dump(exclude={"search"})
    assert choice.params == {}


def test_a_config_without_a_model_has_the_default_one() -> None:
    config = best().model_copy(update={"model": ModelConfig()})
    run = space(config).choose(Drawn(space(config).prescribed()[0])).config(config, config.train.seed)
    assert architecture_of(run) == architecture_of(config)


def test_first_points_are_whole_and_each_is_another_config() -> None:
    config = best()
    prescribed = [fixed for fixed in space(config, FEW_ROWS).prescribed() if fixed]
    chosen = []
    for fixed in prescribed:
        draw = Drawn(fixed)
        chosen.append(space(config, FEW_ROWS).choose(draw).config(config, 0))
        assert draw.found == fixed, "nothing of a first point is left to chance"
    assert all(one != other for place, one in enumerate(chosen) for other in chosen[:place])
    assert {one.model.model_dump()["kind"] for one in chosen} >= {"shared_bottom", "mmoe", "ple"}
    assert any(one.train.ids for one in chosen)
    assert any(one.train.table_optimizer == "rowwise_adagrad" and one.train.table_lr > one.train.lr for one in chosen)
    assert len(space(config).prescribed()) == config.search.trials


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train.dropout_schedule=flat_cosine", "model.dropout=0.1"),
        ("train.weight_decay=0.1", "train.decay_schedule=flat_cosine"),
    ],
)
def test_every_choice_is_a_config(overrides: tuple[str, ...]) -> None:
    config = best(*overrides)
    one, kinds, weighted = space(config), set(), 0
    for seed in range(40):
        draw = Drawn({}, seed)
        choice = one.choose(draw)
        run = choice.config(config, seed=3)
        model = run.model.model_dump()
        kinds.add(model["kind"])
        assert (run.train.method, run.train.seed) == (choice.method, 3)
        assert run.train.lr == pytest.approx(draw.found["train.lr"], rel=1e-3)  # four digits
        assert model["embedding_std"] == pytest.approx(draw.found["model.embedding_std"], rel=1e-3)
        assert ("train.table_lr" in draw.found) == (run.train.table_optimizer in ("adagrad", "rowwise_adagrad"))
        if draw.found["method"] == "static weights":
            weighted += 1
            assert choice.method == "uniform"
            for name, task in run.spec.tasks.items():
                assert task.weight == pytest.approx(draw.found[f"spec.tasks.{name}.weight"], rel=1e-3)
        else:
            assert [task.weight for task in run.spec.tasks.values()] == [1, 1, 1]
    assert weighted
    assert kinds >= set(ARCHITECTURES)


def test_only_large_tables_of_ids_are_left_out() -> None:
    """`age` has a large table here, but its rows are buckets of a number."""
    names = space(best()).identity
    assert "ids state_prev_res" in names
    assert "ids age" not in names


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ('search={preset="bets"}', "one of"),
        (
            'search={preset="best",methods=["pcgrad"]}',
            'preset "best" has a space and a sampler of its own: leave `methods`',
        ),
        ('search={preset="best",sampler="grid"}', "leave `sampler` out"),
        ("search.budget='30'", "a budget should be seconds, minutes or hours"),
        ("search.budget=0m", "a budget should be seconds, minutes or hours"),
    ],
)
def test_what_a_preset_or_a_budget_is_not(override: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        debug_config(Path(), override)


def test_a_preset_is_for_configs_without_a_search_and_where_it_is_asked_for(tmp_path: Path) -> None:
    with_search, without = ROOT / "configs" / "census.toml", tmp_path / "without.toml"
    text, inside = [], False
    for line in with_search.read_text().splitlines():
        inside = line.startswith("[search]") if line.startswith("[") else inside
        text += [] if inside else [line]
    without.write_text("\n".join(text))
    found = {
        (path.stem, preset): load_config(path, changes_of(path, [], preset, ["search.budget=90s"])).search
        for path in (with_search, without)
        for preset in (None, "best")
    }
    ordinary = found.pop(("census", None))
    assert (ordinary.preset, ordinary.methods, ordinary.trials, ordinary.seconds) == (
        "",
        ("gradops(alpha=0.0)",),
        30,
        90,
    )
    for search in found.values():
        assert (search.preset, search.seconds, search.prune, search.workers) == ("best", 90, True, 0)
