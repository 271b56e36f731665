"""Training on two hosts: a link is cut and mended, a host loses its power, and the weights are the same to the bit."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.data.prepare import prepare
from pipeline.runs.run import Run, find_run
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.hosts.network import LONG, Host, printed, typed, until
from tests.pipeline.training.stopping import assert_same

pytestmark = pytest.mark.slow

TOML = f"""
extends = "{ROOT}/configs/debug.toml"
name = "two-hosts"
runs = "runs"
[data]
train = "{ROOT}/tests/data/census/train.parquet"
holdout = "{ROOT}/tests/data/census/test.parquet"
prepared = "../prepared"
[model]
dropout = 0
[train]
method = "gradops(alpha=-2)"
table_kernel = "fused"
table_optimizer = "rowwise_adagrad"
max_steps = 120
epochs = 30
checkpoint_every = 5
[sharding]
row_wise_from = 300
data_parallel_below = 100
"""
CONFIG, SHARDS = Path("configs/clicklog-wide.toml"), "train.shuffle_shards=2"
# What the lines of the document have for other machines.
HERE = {"--nproc-per-node 8": "--nproc-per-node 1", "train.shuffle_shards=16": SHARDS}


def project(folder: Path) -> Path:
    """A folder that both hosts see, with the config that the document names."""
    (folder / CONFIG).parent.mkdir(parents=True)
    (folder / CONFIG).write_text(TOML)
    return folder


def launched(hosts: Sequence[Host], folder: Path) -> list[subprocess.Popen[bytes]]:
    """What the document tells to type on every machine."""
    lines = typed("torchrun")
    for written, here in HERE.items():
        assert written in lines
        lines = lines.replace(written, here)
    environment = {"PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    return [host.start(lines, folder, environment, folder / f"{host.name}.log") for host in hosts]


def newest(folder: Path) -> int:
    """The step of the newest checkpoint; 0 before the first."""
    found = next(folder.glob("runs/checkpoints/*/newest"), None)
    return int(found.read_text()) if found else 0


def finished(commands: Sequence[subprocess.Popen[bytes]], folder: Path) -> None:
    codes = [command.wait(LONG) for command in commands]
    assert codes == [0] * len(commands), printed(folder)


def run_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    config = load_config(CONFIG, [SHARDS])
    run = find_run(config, prepare(config))
    assert run is not None
    return run


def test_a_cut_link_and_a_host_without_power_change_nothing(
    tmp_path: Path, hosts: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host that was without power is started again, and its lines are typed again."""
    unbroken, broken = project(tmp_path / "unbroken"), project(tmp_path / "broken")
    finished(launched(hosts, unbroken), unbroken)
    _, second = hosts
    (of_first, _) = launched(hosts, broken)
    until(lambda: newest(broken) >= 10, LONG)
    second.cut()
    time.sleep(6)
    assert newest(broken) < 120
    second.mend()
    seen = newest(broken)
    until(lambda: newest(broken) >= seen + 10, LONG)
    second.kill()
    time.sleep(2)
    assert of_first.poll() is None
    assert 0 < newest(broken) < 120
    second.boot()
    second.mend()
    finished([of_first, *launched([second], broken)], broken)
    assert_same(run_in(broken, monkeypatch), run_in(unbroken, monkeypatch))
