"""Runs of several ranks equal that of one process, even if ranks are killed or another number of them continues."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.multiprocessing.spawn import start_processes

from benchmarks.ranks.collectives import Collectives
from features.errors import InputError
from gradops.group import Ranks
from gradops.methods import METHODS
from models.loss import cross_entropy
from pipeline.config.run import RunConfig
from pipeline.data.prepared import Prepared
from pipeline.runs.run import PLACEMENT, WEIGHTS, Run, architecture_of, checkpoints_of, find_run, tables_of
from pipeline.training import trainer
from pipeline.training.build import build_model
from pipeline.training.distributed import rank_group
from pipeline.training.rank_plan import shape_of
from pipeline.training.training import train
from tests.conftest import ROLES, ROOT, debug_config
from tests.pipeline.training.stopping import KilledError, assert_same, at_step, interrupt, kill, newest_step

# Two epochs of 16 steps and half a third one. Dropout draws on each rank for itself, and so is left out.
OPTIONS = (
    "train.table_kernel=fused",
    "train.table_optimizer=rowwise_adagrad",
    "train.table_lr=0.05",
    "train.method=gradops(alpha=-2)",
    "train.schedule=one_cycle",
    "train.epochs=3",
    "train.ema=0.9",
    "train.max_steps=40",
    "train.checkpoint_every=8",
    "train.shuffle_shards=2",
    "model.dropout=0",
    "sharding.row_wise_from=300",
    "sharding.data_parallel_below=100",
)
RARE = (
    *("train.keep_negatives=0.8", "train.prior_bias=true", "train.task_weights=inverse_entropy"),
    *("train.task_patience=1", "train.task_snapshots=true", "train.calibration=platt", "train.epochs=4"),
)
# A few steps of every method, with more than one epoch, for those that look back at one.
BRIEF = ("train.max_steps=20", "train.ema=0", "train.checkpoint_every=0", "train.diagnose_every=5")
COUNTED = ("uniform", "gradops(alpha=-2)")
Few = tuple[RunConfig, Prepared]
Go = Callable[[RunConfig], Run]


def config_in(folder: Path, few: Few, *overrides: str) -> RunConfig:
    return debug_config(folder, *OPTIONS, f"data.prepared={few[0].data.prepared}", *overrides)


@dataclass(frozen=True)
class Story:
    """What each of two ranks lives through.

    Args:
        folder: Where.
        few: The data.
        rank: Which of them.
        go: Train a config, together.
    """

    folder: Path
    few: Few
    rank: int
    go: Go

    def config(self, *overrides: str) -> RunConfig:
        return config_in(self.folder, self.few, *overrides)

    def unbroken(self) -> None:
        self.go(self.config())

    def stopped(self) -> None:
        """By the end of both ranks, and then by a signal that only one of them gets."""
        with at_step(10, kill), pytest.raises(KilledError):
            self.go(self.config())
        assert newest_step(self.config(), self.few[1]) == 8
        with at_step(21, interrupt if self.rank else lambda: None), pytest.raises(KeyboardInterrupt):
            self.go(self.config())
        assert newest_step(self.config(), self.few[1]) == 22
        torch.rand(7)  # another process has drawn other numbers
        self.go(self.config())

    def rare(self) -> None:
        """With the second epoch's end behind it, by which tasks have left."""
        self.go(self.config(*RARE))

    def rare_begun(self) -> None:
        with at_step(38, kill), pytest.raises(KilledError):
            self.go(self.config(*RARE))
        self.go(self.config(*RARE))

    def begun(self) -> None:
        with at_step(10, kill), pytest.raises(KilledError):
            self.go(self.config())

    def truncated(self) -> None:
        """The second rank's part of the newest checkpoint."""
        with at_step(18, kill), pytest.raises(KilledError):
            self.go(self.config())
        dist.barrier()
        if self.rank:
            self.go(self.config())
            return
        file = checkpoints_of(self.config(), self.few[1]) / "step-16" / "__1_0.distcp"
        os.truncate(file, file.stat().st_size - 1)
        with pytest.warns(UserWarning, match=rf"{file} has .* bytes.* goes on from step 8"):
            self.go(self.config())

    def without_rows(self) -> None:
        """A batch of one row is the first rank's."""
        self.go(self.config("train.batch_size=1", "train.max_steps=12"))

    def no_numbers(self) -> None:
        """On one rank; all find it, and say the same."""

        def fail() -> None:
            patch.setattr(trainer, "cross_entropy", lambda *args: cross_entropy(*args) * torch.nan)

        found = pytest.raises(InputError, match="no longer finite after 11 steps")
        with pytest.MonkeyPatch.context() as patch, at_step(10, fail if self.rank else lambda: None), found:
            self.go(self.config())
        assert newest_step(self.config(), self.few[1]) == 8

    def full_disk(self) -> None:
        """Of one rank's machine."""
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        def fill() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))

        found = pytest.raises(InputError, match=r"step 16 cannot be written to .*: free some disk.* from step 8")
        with at_step(10, fill if self.rank else lambda: None), found:
            self.go(self.config())
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert newest_step(self.config(), self.few[1]) == 8
        assert not list(self.folder.rglob("*.draft"))

    def not_fused(self) -> None:
        with pytest.raises(InputError, match=r"2 ranks share tables in fused kernels.*one of \"sgd\", \"adagrad\""):
            self.go(self.config("train.table_kernel=plain"))

    def every_method(self) -> None:
        for method in METHODS:
            self.go(self.config(*BRIEF, f"train.method={method}"))

    def counted(self) -> None:
        """What ranks say in a step, from its beginning to that of the next one."""
        short = ("train.max_steps=5", "train.ema=0", "train.diagnose_every=100", "train.checkpoint_every=0")
        found = {}
        for method in COUNTED:
            recorder = Collectives()
            with ExitStack() as stack:
                begin, end = partial(stack.enter_context, recorder), stack.close
                with at_step(2, begin), at_step(3, end):
                    train(self.config(*short, f"train.method={method}"), self.few[1], group=Ranks())
            found[method] = [asdict(one) for one in recorder.seen]
        (self.folder / f"counted-{self.rank}.json").write_text(json.dumps(found))

    def ended(self) -> None:
        """What others have begun."""
        self.go(config_in(self.folder.parent / "begun", self.few))


STORIES = (
    Story.unbroken,
    Story.stopped,
    Story.begun,
    Story.truncated,
    Story.without_rows,
    Story.no_numbers,
    Story.full_disk,
    Story.not_fused,
    Story.counted,
)


def live(rank: int, port: int, folder: Path, few: Few, stories: Sequence[Callable[[Story], None]]) -> None:
    """Some stories, one after another, in the same process."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in told.items()}
    os.environ |= {"MASTER_ADDR": "localhost", "TORCHELASTIC_RUN_ID": "test"}  # as torchrun does
    with rank_group(checked=True) as group:
        for story in stories:
            story(Story(folder / story.__name__, few, rank, lambda config: train(config, few[1], group=group)))


def on_two_ranks(folder: Path, few: Few, stories: Sequence[Callable[[Story], None]]) -> None:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    get_context("forkserver").set_forkserver_preload([__name__])  # torchrec is imported once, not by every rank
    start_processes(live, (port, folder, few, stories), 2, start_method="forkserver")


@pytest.fixture(scope="module")
def lived(few: Few, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stories have happened."""
    folder = tmp_path_factory.mktemp("ranks")
    on_two_ranks(folder, few, STORIES)
    return folder


def run_of(name: str, lived: Path, few: Few, *overrides: str) -> Run:
    run = find_run(config_in(lived / name, few, *overrides), few[1])
    assert run is not None
    return run


def assert_close(run: Run, other: Run) -> None:
    """Sums in another order round otherwise."""
    ours, theirs = (load_file(r.folder / WEIGHTS) for r in (run, other))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-5, msg=name)
    for task in run.tasks:
        assert run.test[task] == pytest.approx(other.test[task], abs=1e-4, nan_ok=True)


def test_two_ranks_train_what_one_process_does(lived: Path, few: Few, tmp_path: Path) -> None:
    alone = train(config_in(tmp_path, few), few[1])
    assert_close(run_of("unbroken", lived, few), alone)
    assert len({history.val["income"]["auc"] for history in alone.history}) == 3  # it learns


def test_a_rank_may_have_no_rows(lived: Path, few: Few, tmp_path: Path) -> None:
    short = ("train.batch_size=1", "train.max_steps=12")
    assert_close(run_of("without_rows", lived, few, *short), train(config_in(tmp_path, few, *short), few[1]))


@pytest.mark.parametrize("name", ["stopped", "truncated"])
def test_what_goes_on_ends_as_the_unbroken_run(lived: Path, few: Few, name: str) -> None:
    assert_same(run_of(name, lived, few), run_of("unbroken", lived, few))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_step_of_ranks_takes_two_all_reduces_at_most(lived: Path, few: Few, rank: int) -> None:
    found = json.loads((lived / "counted" / f"counted-{rank}.json").read_text())
    tasks, shared, network = len(few[0].tasks), *sizes(config_in(lived / "counted", few), few[1])
    config = config_in(lived / "counted", few)
    features = sum(len(table.features) for table in tables_of(config, few[1].encoder()))
    # Sums of labels, number of rows, whether to go on, and the entries of each feature.
    header = ("all-gather", ["float64"], 8 * (tasks + 2 + features))
    gram = ("all-reduce", ["float64"], 8 * tasks**2)
    uniform, exact = ([one for one in found[method] if not one["library"]] for method in COUNTED)
    *before, copies = uniform
    assert [described(one) for one in before] == [header, ("all-reduce", ["float32"], 4 * (network + tasks))]
    first, sums, counts, rows, gradients, products, also_copies = exact
    assert described(copies) == described(also_copies)
    assert (copies["name"], copies["types"]) == ("all-gather", ["uint8"])
    assert described(first) == header
    assert described(sums) == ("all-reduce", ["float32"], 4 * (network + (tasks - 1) * shared + tasks))
    assert [one["name"] for one in (counts, rows, gradients)] == ["all-to-all"] * 3
    assert gradients["types"] == ["float32"]
    # A product for each width of tables.
    assert (products["name"], products["types"]) == (gram[0], gram[1])
    assert products["bytes"] % gram[2] == 0
    for method in COUNTED:
        theirs = [(one["library"], one["name"]) for one in found[method] if one["library"]]
        assert {library for library, _ in theirs} == {"torchrec"}
        assert "all-to-all" in {name for _, name in theirs}
        assert "all-reduce" not in {name for _, name in theirs}


@pytest.mark.parametrize("method", COUNTED)
def test_a_plan_knows_what_ranks_say(lived: Path, few: Few, method: str) -> None:
    """In bytes, of both ranks together; what the batch of a step reads differs a little from that of the first one."""
    config = config_in(lived / "counted", few, f"train.method={method}")
    planned = shape_of(config, few[1], 2).exchanges()
    found = [
        one for rank in (0, 1) for one in json.loads((lived / "counted" / f"counted-{rank}.json").read_text())[method]
    ]
    for kind in {one["name"] for one in found}:
        wanted = sum(one["bytes"] for one in found if one["name"] == kind)
        assert sum(2 * one.bytes for one in planned if one.kind == kind) == pytest.approx(wanted, rel=0.05), kind


def described(one: dict[str, Any]) -> tuple[str, list[str], int]:
    return one["name"], one["types"], one["bytes"]


def sizes(config: RunConfig, prepared: Prepared) -> tuple[int, int]:
    """Numbers of weights that tasks share, and of all, without tables."""
    model = build_model(prepared.encoder(), list(config.tasks), architecture_of(config), seed=0)
    tables = {id(table) for table in model.embedding.tables()}
    network = sum(p.numel() for p in model.network_parameters() if id(p) not in tables)
    return sum(p.numel() for p in model.shared_parameters()), network


@pytest.mark.slow
def test_two_ranks_train_every_method_as_one_process_does(few: Few, tmp_path: Path) -> None:
    on_two_ranks(tmp_path, few, [Story.every_method])
    for method in METHODS:
        options = (*BRIEF, f"train.method={method}")
        assert_close(
            run_of("every_method", tmp_path, few, *options),
            train(config_in(tmp_path / "alone", few, *options), few[1]),
        )


@pytest.mark.slow
def test_rare_tasks_are_trained_alike_by_two_ranks(few: Few, tmp_path: Path) -> None:
    on_two_ranks(tmp_path, few, [Story.rare, Story.rare_begun])
    together, begun = (run_of(name, tmp_path, few, *RARE) for name in ("rare", "rare_begun"))
    assert_same(begun, together)
    alone = train(config_in(tmp_path / "alone", few, *RARE), few[1])
    assert_close(together, alone)
    assert [epoch.losses.keys() for epoch in together.history] == [epoch.losses.keys() for epoch in alone.history]
    assert together.snapshots == alone.snapshots


@pytest.mark.parametrize(("found", "address"), [("127.0.1.1", "127.0.1.1"), (None, "127.0.0.1")])
def test_machines_that_could_not_reach_each_other_are_told_to_name_the_device(
    monkeypatch: pytest.MonkeyPatch, found: str | None, address: str
) -> None:
    """Debian's own name is an address of the machine alone; gloo would say that a connection is refused."""

    def by_name(name: str) -> str:
        if found is None:
            raise socket.gaierror(f"no address for {name}")
        return found

    monkeypatch.setattr(socket, "gethostbyname", by_name)
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    for name, value in {"TORCHELASTIC_RUN_ID": "test", "GROUP_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=rf"stands for {address}; export GLOO_SOCKET_IFNAME=DEVICE"), rank_group():
        pass


def test_another_number_of_ranks_goes_on(lived: Path, few: Few) -> None:
    """Two ranks, then one process, then two again."""
    config = config_in(lived / "begun", few)
    assert newest_step(config, few[1]) == 8
    with at_step(21, kill), pytest.raises(KilledError):
        train(config, few[1])
    assert newest_step(config, few[1]) == 16
    on_two_ranks(lived, few, [Story.ended])
    run = run_of("begun", lived, few)
    assert_close(run, run_of("unbroken", lived, few))
    assert json.loads((run.folder / PLACEMENT).read_text())["ranks"] == 2


def test_the_plan_is_kept_with_the_run(lived: Path, few: Few) -> None:
    placement = json.loads((run_of("unbroken", lived, few).folder / PLACEMENT).read_text())
    kinds = {name: table["kind"] for name, table in placement["tables"].items()}
    assert kinds.keys() == {table.name for table in few[1].encoder().tables()}
    assert set(kinds.values()) == {"row_wise", "table_wise", "data_parallel"}
    assert all(placement["tables"][name]["ranks"] == [0, 1] for name, kind in kinds.items() if kind != "table_wise")


def command(config: RunConfig, few: Few, *options: str) -> list[str]:
    """``torchrun`` as a user types it."""
    overrides = [*OPTIONS, *options, f"runs={config.runs}", f"data.prepared={few[0].data.prepared}"]
    overrides += [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    torchrun = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2"]
    train = ["-m", "jobs.train", str(ROOT / "configs" / "debug.toml")]
    return [*torchrun, "--max-restarts", "3", *train, *(part for o in overrides for part in ("--set", o))]


def workers(torchrun: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(torchrun)], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def torchrun(config: RunConfig, few: Few, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command; nothing of it is left afterwards."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command(config, few, *options), env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            kill_all(process)


def kill_all(process: subprocess.Popen[str]) -> None:
    for number in [*workers(process.pid), *([process.pid] if process.poll() is None else [])]:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def newest_file(config: RunConfig, few: Few) -> Path:
    return checkpoints_of(config, few[1]) / "newest"


@pytest.mark.slow
def test_a_killed_rank_is_started_again_by_torchrun(lived: Path, few: Few, tmp_path: Path) -> None:
    config = config_in(tmp_path, few)
    with torchrun(config, few) as process:
        wait_for(newest_file(config, few).exists)
        os.kill(random.Random(0).choice(workers(process.pid)), signal.SIGKILL)
        _, messages = process.communicate()
    assert process.returncode == 0, messages
    run = find_run(config, few[1])
    assert run is not None
    assert_same(run, run_of("unbroken", lived, few))
    assert not any((config.runs / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_scheduler_ends_torchrun_and_the_next_one_goes_on(lived: Path, few: Few, tmp_path: Path) -> None:
    config = config_in(tmp_path, few)
    with torchrun(config, few) as process:
        wait_for(newest_file(config, few).exists)
        process.send_signal(signal.SIGTERM)
        _, messages = process.communicate()
    assert "interrupted; the same command goes on from there" in messages
    assert newest_step(config, few[1]) % 8, "a step between two checkpoints is finished and saved"
    with torchrun(config, few) as process:
        process.communicate()
    run = find_run(config, few[1])
    assert run is not None
    assert_same(run, run_of("unbroken", lived, few))


@pytest.mark.slow
def test_ranks_end_when_torchrun_is_gone(few: Few, tmp_path: Path) -> None:
    """Or they would hold the lock, and train for nobody."""
    config = config_in(tmp_path, few, "train.max_steps=100000", "train.epochs=100000")
    with torchrun(config, few, "train.max_steps=100000", "train.epochs=100000") as process:
        wait_for(newest_file(config, few).exists)
        ranks = workers(process.pid)
        process.kill()
        wait_for(lambda: not any(Path(f"/proc/{number}").exists() for number in ranks))
    assert newest_step(config, few[1]) > 0


@pytest.mark.slow
def test_kills_at_random_moments_change_nothing(few: Few, tmp_path: Path) -> None:
    """Of one rank, whom torchrun starts again with the other, or of all, in the middle of steps and checkpoints."""
    longer = ("train.max_steps=300", "train.epochs=30", "train.checkpoint_every=5")
    unbroken, config = (config_in(tmp_path / name, few, *longer) for name in ("unbroken", "killed"))
    with torchrun(unbroken, few, *longer) as process:
        process.communicate()
    chance, kills = random.Random(0), 0
    while find_run(config, few[1]) is None:
        with torchrun(config, few, *longer) as process:
            for one in (True, True, True, False):  # torchrun starts them again three times
                wait_for(partial(_ended_or_newer, process, newest_file(config, few), _text(newest_file(config, few))))
                time.sleep(chance.uniform(0, 0.2))
                if process.poll() is None and kills < 22:
                    os.kill(chance.choice(workers(process.pid)), signal.SIGKILL) if one else kill_all(process)
                    kills += 1
            process.communicate()
    assert kills >= 20
    run, wanted = find_run(config, few[1]), find_run(unbroken, few[1])
    assert run is not None
    assert wanted is not None
    assert_same(run, wanted)
    assert not list(config.runs.rglob("*.draft"))


def _ended_or_newer(process: subprocess.Popen[str], newest: Path, before: str) -> bool:
    """Whether the command has ended, or another checkpoint was finished."""
    return process.poll() is not None or _text(newest) != before


def _text(file: Path) -> str:
    return file.read_text() if file.exists() else ""
