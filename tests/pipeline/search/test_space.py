"""The search space: the choices of a trial, and the ranges that are refused before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.errors import InputError
from gradops.methods import METHODS, parse
from pipeline.config.run import RunConfig
from pipeline.files.redaction import without_passwords
from pipeline.search.space import Space
from pipeline.training.resolve import load_config
from tests.conftest import ROOT, debug_config

RANGES = 'search.ranges={"train.lr"={low=1e-3,high=1e-2,log=true},"train.batch_size"={low=64,high=128}}'


CHOSEN = ("method", "lr", "batch_size", "seed")


class Highest:
    """Draws the highest of everything."""

    def __init__(self, method: str = "") -> None:
        self.method = method
        self.asked: list[str] = []

    def suggest_categorical(self, name: str, choices: list[str]) -> str:
        return self.method or choices[-1]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool) -> float:
        self.asked.append(name)
        return high

    def suggest_int(self, name: str, low: int, high: int, *, log: bool) -> int:
        self.asked.append(name)
        return high


def config(*overrides: str) -> RunConfig:
    return debug_config(Path(), *overrides)


def test_a_choice_is_a_config() -> None:
    searched = config(RANGES, "search.methods=['uniform', 'gradops']")
    choice = Space(searched).choose(Highest())
    assert choice.method == "gradops(alpha=5.0)"
    assert choice.params == {"alpha": 5.0, "train.lr": 0.01, "train.batch_size": 128}
    run = choice.config(searched, seed=3)
    assert (run.train.method, run.train.lr, run.train.batch_size, run.train.seed) == (choice.method, 0.01, 128, 3)
    assert run.changed({f"train.{key}": getattr(searched.train, key) for key in CHOSEN}) == searched


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_searched_within_its_declared_ranges(name: str) -> None:
    method = parse(Space(config(f"search.methods=['{name}']")).choose(Highest()).method)
    assert type(method) is METHODS[name]


def test_only_the_chosen_methods_options_are_drawn() -> None:
    space, draw = Space(config("search.methods=['cagrad', 'gradops', 'rotograd']")), Highest("cagrad(c=0.5)")
    assert space.choose(draw).params == {"c": 0.95}
    assert draw.asked == ["cagrad.c"]


def test_a_range_in_the_config_goes_before_the_declared_one() -> None:
    space = Space(config('search.ranges={"gradops.alpha"={low=-4,high=-1}}'))
    assert space.choose(Highest()).method == "gradops(alpha=-1.0)"
    # Written 0 is outside: the first trial is as near as it may be.
    assert space.prescribed()[:2] == [{"method": "gradops(alpha=0.0)", "gradops.alpha": a} for a in (-1.0, -4.0)]


def test_the_first_trials_are_the_corners() -> None:
    first = Space(config("search.trials=8", "search.methods=['gradops']")).prescribed()
    assert [trial.get("gradops.alpha") for trial in first] == [0.0, -10.0, 5.0, None, None, None, None, None]
    many = Space(config("search.trials=4", "search.methods=['all']")).prescribed()
    assert [bool(trial) for trial in many] == [True, True, False, False]


def test_a_grid_is_prescribed_as_a_whole() -> None:
    options = ("search.sampler=grid", "search.grid=4", "search.methods=['uniform', 'gradops']", "search.trials=99")
    grid = Space(config(*options)).prescribed()
    assert [trial["method"] for trial in grid] == ["uniform"] + ["gradops(alpha=0.0)"] * 4
    assert [trial["gradops.alpha"] for trial in grid[1:]] == [-10, -5, 0, 5]
    assert len(Space(config(*options, RANGES)).prescribed()) == 4 * 4 + 4 * 4 * 4


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ('"train.rate"={low=0,high=1}', '"train.rate" is neither a key of the config nor an option of a method'),
        ('"pcgrad.alpha"={low=0,high=1}', '"pcgrad.alpha" is neither'),
        ('"train.lr"={low=0,high=1}', '"train.lr" = 0: Input should be greater than 0'),
        ('"model.dropout"={low=0,high=1}', '"model.dropout" = 1: Input should be less than 1'),
        ('"train.batch_size"={low=1.5,high=8}', '"train.batch_size" takes whole numbers, found 1.5'),
        ('"train.seed"={low=0,high=9}', '"train.seed" should be a number of [train] or [model]'),
        ('"split.seed"={low=0,high=9}', '"split.seed" should be a number of [train] or [model]'),
        ('"model.bottom"={low=0,high=9}', '"model.bottom" should be a number'),
        ('"train.lr.x"={low=0,high=9}', '"train.lr.x" is neither'),
        ('"train.lrr"={low=0.1,high=0.2}', "did you mean `train.lr`?"),
        ('"gradops.alfa"={low=0,high=1}', "did you mean `gradops.alpha`?"),
    ],
)
def test_a_range_is_of_a_number_that_can_be_trained_with(ranges: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        Space(config(f"search.ranges={{{ranges}}}"))
    assert problem in str(caught.value)


def test_a_tasks_weight_can_be_searched() -> None:
    searched = config('search.ranges={"spec.tasks.income.weight"={low=0.5,high=2}}')
    assert Space(searched).choose(Highest()).config(searched, 0).spec.tasks["income"].weight == 2


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("search.ranges={x={low=1,high=1}}", "`low` should be below `high`"),
        ("search.ranges={x={low=0,high=1,log=true}}", "a logarithmic scale needs `low` above 0"),
        ("search.methods=['gradop']", "Did you mean `gradops`?"),
        ("search.not_below_single_task=['wealth']", "names `wealth`, which is not a task"),
        ("search.trails=3", "did you mean `trials`?"),
    ],
)
def test_a_wrong_section_is_one_message(override: str, problem: str) -> None:
    with pytest.raises(InputError) as caught:
        config(override)
    assert problem in str(caught.value)


def test_the_presets_have_a_search() -> None:
    for name in ("census", "census-paper", "clicklog", "clicklog-wide", "debug"):
        alphas = [
            trial.get("gradops.alpha") for trial in Space(load_config(ROOT / "configs" / f"{name}.toml")).prescribed()
        ]
        assert alphas[:2] == [0.0, -10.0], name


def test_a_password_is_never_written() -> None:
    searched = config("search.storage=postgresql://me:s3cr:et@there/db")
    dumped: dict[str, Any] = searched.model_dump(mode="json")
    assert dumped["search"]["storage"] == "postgresql://me:***@there/db"
    assert searched.search.storage.count("s3cr:et") == 1
    assert without_passwords("grpc://there:13000") == "grpc://there:13000"
