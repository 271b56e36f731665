"""A real Ray cluster of two workers prepares the same bytes as one process, and fails with the same errors."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from ray import cluster_utils

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data import chunks
from pipeline.data.chunks import Chunk, Reading
from pipeline.data.prepare import prepare
from pipeline.runtime.executor import EXECUTORS, LOCAL_EXECUTOR, Executor
from pipeline.runtime.ray_executor import RayExecutor, ray_cluster
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from tests.conftest import ROOT

TOKEN = "0" * 64  # or Ray would write one into the home folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayExecutor]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_TOKEN", TOKEN)
        environment.delenv("RAY_ADDRESS", raising=False)
        with ray_cluster(cpus=2) as cluster:
            yield cluster


@pytest.fixture
def config() -> RunConfig:
    """A generated log of every kind of feature, at paths relative to the test's folder."""
    generate(Options(rows=7000, users=500, items=100), Path("log"))
    return load_config(ROOT / "configs" / "clicklog.toml", ["data.train=log", "data.prepared=by-threads"])


def elsewhere(config: RunConfig, folder: str) -> RunConfig:
    return config.model_copy(update={"data": config.data.model_copy(update={"prepared": Path(folder)})})


def digests(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


@pytest.mark.slow  # many short tasks, each of which waits for Ray
def test_prepared_bytes_equal_those_of_one_process(
    cluster: RayExecutor, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_ROWS", 600)
    one, both = prepare(config), prepare(elsewhere(config, "by-ray"), cluster)
    found = digests(one.folder)
    assert sum(name.startswith("train/") for name in found) == 10
    assert digests(both.folder) == found
    assert {path.name for path in Path("by-ray").iterdir()} == {".lock", both.folder.name}


def test_problems_are_reported_as_by_one_process(cluster: RayExecutor, config: RunConfig) -> None:
    first, second, *_ = sorted(Path("log").rglob("*.parquet"))
    pl.read_parquet(first).with_columns(cart=pl.lit(2)).write_parquet(first)
    second.write_bytes(second.read_bytes()[:4] + b"torn" * 4000 + second.read_bytes()[16_004:])
    messages = []
    executors: list[Executor] = [LOCAL_EXECUTOR, cluster]
    for executor in executors:
        with pytest.raises(InputError) as error:
            prepare(config, executor)
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    assert "is not a readable Parquet file" in messages[0]
    assert "`cart` (task `cart`) holds 2" in messages[0]
    assert not list(Path("by-threads").glob("*/"))


def test_an_error_within_a_task_is_the_one_that_was_raised(cluster: RayExecutor, config: RunConfig) -> None:
    Path("torn.parquet").write_text("torn")
    reading = Reading(config.spec, config.split, holdout=False, schemas={"train": pl.Schema({"click": pl.Int64()})})
    torn = [Chunk("train", Path("torn.parquet"), 0, 10, f"part-{number}") for number in range(9)]
    executors: list[Executor] = [LOCAL_EXECUTOR, cluster]
    for executor in executors:
        with pytest.raises(InputError, match=r"^torn.parquet is not a readable Parquet file"):
            list(executor.map(partial(Chunk.read, reading=reading), torn))


def test_a_machine_that_does_not_see_the_files_is_named(cluster: RayExecutor) -> None:
    Path("prepared").mkdir()
    cluster.check_access([], Path("prepared"))
    with pytest.raises(InputError, match=r"does not see 2 of 2 raw files, as here.parquet; mount the same folders"):
        cluster.check_access([Path("here.parquet"), Path("there.parquet")], Path("prepared"))
    assert not list(Path("prepared").iterdir())


def test_without_ray_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.runtime.ray_executor")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'gradops\[ray\]'"):
        EXECUTORS["ray"]()


def command(config: RunConfig, folder: str) -> list[str]:
    places = [f"data.train={config.data.train}", f"data.prepared={folder}"]
    options = [part for place in places for part in ("--set", place)]
    arguments = ["prepare", str(ROOT / "configs" / "clicklog.toml"), *options, "--engine", "ray", "--json"]
    return [sys.executable, "-c", "from jobs.cli import app; app()", *arguments]


def wait_for_chunks(folder: str, number: int, started: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while len(list(Path(folder).glob(".*.draft/.done/*"))) < number:
        assert started.poll() is None, "it has ended"
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.slow
def test_a_machine_that_is_lost_changes_nothing(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines, as far as Ray knows, joined by their address; one dies while it encodes."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    machines = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = machines.add_node(num_cpus=1)
        environment = {**os.environ, "RAY_ADDRESS": machines.address}
        started = subprocess.Popen(
            command(config, "by-ray"), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for_chunks("by-ray", 2, started)
        machines.remove_node(second, allow_graceful=False)
        out, err = started.communicate(timeout=240)
    finally:
        machines.shutdown()  # type: ignore[no-untyped-call]
    assert started.returncode == 0, err
    assert digests(Path(json.loads(out)["folder"])) == digests(prepare(config).folder)


@pytest.mark.slow
def test_an_interrupted_command_goes_on_later_and_leaves_no_drafts(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    for life in range(2):
        started = subprocess.Popen(
            command(config, "by-ray"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        if not life:
            wait_for_chunks("by-ray", 2, started)
            started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=240)
        assert started.returncode == (0 if life else 130), err
        assert err == ("" if life else "interrupted; the same command goes on from there\n")
    assert digests(Path(json.loads(out)["folder"])) == digests(prepare(config).folder)
    assert not list(Path("by-ray").glob(".*.draft"))


@pytest.mark.slow
def test_a_missing_cluster_is_one_error_without_a_traceback(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    result = subprocess.run(command(config, "by-ray"), capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "there is no Ray cluster to join at RAY_ADDRESS=127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr
