"""A run that is killed at random moments, many times over, ends like an undisturbed one."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import find_run
from tests.conftest import ROLES, ROOT
from tests.pipeline.training.stopping import LONGER, assert_same, config_in, unbroken_run

CHILD = """
import sys
import time
from pathlib import Path
from pipeline.training.resolve import load_config
from pipeline.training.trainer import Trainer
from pipeline.data.prepare import prepare
from pipeline.training.training import train

step = Trainer._train_on

def told(self, batch):
    losses_T = step(self, batch)
    print(self.step, flush=True)
    return losses_T

Trainer._train_on = told
{more}
config = load_config(Path(sys.argv[1]), sys.argv[2:])
train(config, prepare(config))
"""
# Every checkpoint after the first takes long to write.
SLOWLY = """
from pipeline.training.checkpoint import Checkpoints

write = Checkpoints._write

def slowly(self, draft, state):
    write(self, draft, state)
    if (self.folder / "newest").exists():
        time.sleep(60)

Checkpoints._write = slowly
"""


@dataclass
class Life:
    """One process that trains until it is killed, or done."""

    first: int
    last: int
    killed: bool


def live(command: list[str], steps: int, seconds: float) -> Life:
    """Let a process train for some steps and some time more, and kill it; or to its end, with no steps."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [int(next(process.stdout)) for _ in range(steps)]
        time.sleep(seconds)
        if steps:
            process.send_signal(signal.SIGKILL)
        told += [int(line) for line in process.stdout if line.endswith("\n")]
    assert process.returncode in (0, -signal.SIGKILL)
    return Life(told[0], told[-1], process.returncode != 0)


def command_for(config: RunConfig, options: tuple[str, ...], more: str = "") -> list[str]:
    overrides = [*LONGER, *options, f"runs={config.runs}", f"data.prepared={config.data.prepared}"]
    overrides += [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    return [sys.executable, "-c", CHILD.format(more=more), str(ROOT / "configs" / "debug.toml"), *overrides]


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(tmp_path: Path, few: tuple[RunConfig, Prepared]) -> None:
    """In the middle of a step, of a checkpoint, of a validation."""
    kills, steps = 25, 300
    options = (
        f"train.max_steps={steps}",
        "train.epochs=30",
        "train.checkpoint_every=5",
        "train.method=gradops(alpha=-2)",
    )
    config = config_in(tmp_path, few, *options)
    command = command_for(config, options)
    chance = random.Random(0)
    lives = [live(command, chance.randint(1, 8), chance.uniform(0, 0.25)) for _ in range(kills)]
    assert all(life.killed for life in lives)
    lives.append(live(command, 0, 0.0))
    assert lives[-1].last == steps
    for before, after in pairwise(lives):
        # While one is written, at most as many steps are taken as until the next one is due.
        assert before.last - 2 * config.train.checkpoint_every < after.first <= before.last + 1
    run = find_run(config, few[1])
    assert run is not None
    assert_same(run, unbroken_run(tmp_path, few, *options))
    assert not list(config.runs.rglob("*.draft"))


@pytest.mark.slow
def test_a_kill_while_one_is_written_behind_the_steps_leaves_the_one_before(
    tmp_path: Path, few: tuple[RunConfig, Prepared]
) -> None:
    config = config_in(tmp_path, few)
    life = live(command_for(config, (), SLOWLY), 20, 0.0)
    assert life.killed
    assert life.last >= 20, "steps went on while the checkpoint of step 16 was written"
    assert next(path.name for path in config.runs.rglob(".step-*.draft")).startswith(".step-16.")
    after = live(command_for(config, ()), 0, 0.0)
    assert (after.first, after.last) == (9, 40)
    run = find_run(config, few[1])
    assert run is not None
    assert_same(run, unbroken_run(tmp_path, few))
    assert not list(config.runs.rglob("*.draft"))
