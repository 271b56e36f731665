"""Commands in any order: none ends in a traceback, and after each one disk, MLflow and registry agree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.tracking.store import connect
from tests.commands import DEBUG, places
from tests.conftest import ROOT
from tests.pipeline.agreement import Agreement
from tests.pipeline.daily.daily_shop import TOML
from tests.pipeline.shop import clicks

DAYS = 7
SEED = 41  # of the walk of 15 commands, which meets all of them
ROWS = 150  # a day: a command should take a second, not more
_SMALL = {
    "bottom = [16]": "bottom = [4]",
    "2026-01-02": "2026-01-05",  # `compare` and `search` read all days
    "2026-01-03": "2026-01-06",
    "batch_size = 64": "batch_size = 32",
    "lr = 1e-2": "lr = 3e-2",
    "[gate]": "[gate]\nmin_positives = 20\nmin_negatives = 20",
}
_MORE = """
[compare]
methods = ["uniform", "pcgrad"]
boosting = false
workers = 1
[search]
methods = ["gradops"]
trials = 1
workers = 1
"""


def open_small_shop(folder: Path) -> None:
    """A config, a log of a week and an empty store."""
    text = TOML
    for part, replacement in _SMALL.items():
        assert part in text
        text = text.replace(part, replacement)
    (folder / "shop.toml").write_text(text + _MORE)
    for number in range(1, DAYS + 1):
        start = datetime(2026, 1, number)
        rows = clicks(ROWS, seed=number).with_columns(
            pl.col("click") + 10_000 * number, at=pl.Series([start + timedelta(minutes=9 * k) for k in range(ROWS)])
        )
        day = folder / "log" / f"dt={start.date()}"
        day.mkdir(parents=True)
        rows.write_parquet(day / "part-0.parquet")


_TODAY, _TOMORROW = "today", "tomorrow"
_METHODS = st.sampled_from(["uniform", "mgda", "gradops(alpha=-1)"])
# One rule of hypothesis for all commands: of several it leaves most out of a walk.
COMMANDS = st.one_of(
    st.just(("rollback", "shop.toml")),
    st.just(("compare", "shop.toml")),
    st.builds(lambda method: ("compare", "shop.toml", "--methods", method), _METHODS),
    st.builds(lambda n: ("compare", "shop.toml", "--methods", "uniform", "--seeds", str(n)), st.integers(1, 2)),
    st.builds(lambda n: ("search", "shop.toml", "--trials", str(n)), st.integers(1, 3)),
    st.builds(lambda day: ("daily", "shop.toml", "--date", day), st.sampled_from([_TOMORROW, _TODAY])),
    st.builds(lambda a: ("promote", "shop.toml", "--alias", a), st.sampled_from(["balanced", "best-buy", "previous"])),
    st.builds(
        lambda a: ("score", "log/dt=2026-01-01", f"scores-{a}", "--overwrite", "--model", f"models:/shop@{a}"),
        st.sampled_from(["champion", "best-wish", "balanced"]),
    ),
)


class Hands(RuleBasedStateMachine):
    """A user who gives commands in any order."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self._home = Path.cwd()
        self._folder = Path(mkdtemp(dir=self._home))
        shutil.copytree(self.template, self._folder, dirs_exist_ok=True)
        os.chdir(self._folder)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self._folder}/mlflow.db"
        self._agreement = Agreement("shop", clicks(20).select("item", "price"))
        self._aliases: set[str] = set()
        self._day = 0

    def teardown(self) -> None:
        os.chdir(self._home)
        shutil.rmtree(self._folder)

    @rule(arguments=COMMANDS)
    def command(self, arguments: tuple[str, ...]) -> None:
        """Give a command, whose exit code is as docs/operations.md has it."""
        command, *rest = arguments
        if command == "daily":
            self._day = min(self._day + (rest[-1] == _TOMORROW or not self._day), DAYS)
            rest[-1] = f"2026-01-{self._day:02}"
        self.give(self._codes(arguments), command, *rest)

    def _codes(self, arguments: Sequence[str]) -> set[int]:
        """0; 2 if an alias does not exist yet; 3 if the gate refuses."""
        command, asked = arguments[0], arguments[-1].rpartition("@")[2]
        if command == "rollback":
            return {0} if "previous" in self._aliases else {2}
        if command in ("promote", "score") and asked not in self._aliases:
            return {2}
        return {0, 3} if command in ("promote", "daily") else {0}

    @invariant()
    def everything_agrees(self) -> None:
        self._agreement.check()

    def give(self, codes: Collection[int], *arguments: str) -> None:
        """Call a command, and look at its exit code and words."""
        done = CliRunner().invoke(app, arguments)
        said = " ".join((done.stdout + done.stderr).split())
        assert done.exit_code in codes, f"{arguments}: {done.exit_code}, {said[-2000:]} {done.exception!r}"
        assert "Traceback" not in said
        models = connect().search_registered_models("name = 'shop'")
        self._aliases = set(models[0].aliases) if models else set()


@pytest.fixture
def walk(tmp_path: Path) -> type[Hands]:
    """The machine, on a template of a folder with a store that is made already."""
    template = tmp_path / "template"
    template.mkdir()
    open_small_shop(template)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{template}/mlflow.db"
    connect().search_experiments()
    return type("Walk", (Hands,), {"template": template})


def walks(number: int, steps: int) -> settings:
    """Settings for some walks, which are not shrunk: a walk of hundreds of commands would be walked for hours."""
    chosen = settings(max_examples=number, stateful_step_count=steps, deadline=None, database=None)
    return settings(chosen, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.mark.slow
def test_eight_commands_in_any_order(walk: type[Hands]) -> None:
    # Two walks: the first one is hypothesis's simplest, the same free command again and again.
    run_state_machine_as_test(seed(SEED)(walk), settings=walks(2, 8))


@pytest.mark.slow
def test_two_hundred_commands_in_any_order(walk: type[Hands]) -> None:
    run_state_machine_as_test(walk, settings=walks(9, 25))


@pytest.mark.slow
def test_the_demo_then_one_method_then_more_seeds_then_a_search() -> None:
    """README's path, on a few rows of Census-income; once more at the end, nothing changes."""
    rows = pl.read_parquet(ROOT / "tests" / "data" / "census" / "test.parquet").head(20)
    agreement = Agreement("debug", rows)
    walk = [["compare"], ["compare", "--methods", "uniform"], ["compare", "--seeds", "3"], ["search"]]
    for command, *options in [*walk, *walk]:
        done = CliRunner().invoke(app, [command, DEBUG, *places(), "--set", "runs=runs", *options])
        assert done.exit_code == 0, f"{command} {options}: {done.stdout}{done.stderr} {done.exception!r}"
        assert "registered model debug: champion → version" in done.stdout
        agreement.check()
    assert len(connect().search_runs(["1"], "attributes.run_name = 'comparison'")) == 3
