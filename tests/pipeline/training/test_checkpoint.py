"""Checkpoints are read as saved; if writing one fails at any point, the one before stays whole."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from features.errors import InputError
from pipeline.training.checkpoint import Checkpoints

KILLABLE = ((os, "fsync"), (os, "replace"), (os, "rename"), (shutil, "rmtree"), (torch, "save"), (Path, "replace"))


def checkpoints(folder: Path, keep: int = 2) -> Checkpoints:
    return Checkpoints(folder / "checkpoints" / "run", {"train": {"lr": 0.1}, "data": "rows"}, keep)


def state(step: int) -> dict[str, Any]:
    """A state with everything that a checkpoint may hold."""
    generator = torch.Generator().manual_seed(step)
    return {
        "model": {"table": torch.randn(7, 4, generator=generator), "view": torch.arange(20.0).view(4, 5).T[1:]},
        "optimizer": {"state": {0: {"step": torch.tensor(float(step))}}, "groups": [{"betas": (0.9, 0.999)}]},
        "empty": torch.zeros(3, 0),
        "best": {},
        "none": None,
        "numbers": {3: [0.1 + 0.2, float("inf"), step, True, "text"]},
        "random": torch.get_rng_state(),
    }


def assert_equal(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_equal(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        for ours, theirs in zip(found, expected, strict=True):
            assert_equal(ours, theirs)
    else:
        assert torch.equal(found, expected) if isinstance(expected, torch.Tensor) else found == expected


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    saved = checkpoints(tmp_path)
    with saved.alone():
        assert saved.newest() is None
        saved.save(3, state(3))
    found = checkpoints(tmp_path).newest()
    assert_equal(found, state(3))
    with saved.alone():
        saved.remove()
    assert saved.newest() is None
    assert not list((tmp_path / "checkpoints").iterdir())


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"a set at `state.a.b.1`"):
        checkpoints(tmp_path).save(1, {"a": {"b": [1, {2}]}})


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(tmp_path: Path, keep: int) -> None:
    saved = checkpoints(tmp_path, keep)
    for step in (2, 10, 9, 100, 101):  # 9 after 10: a run that went on from 2
        saved.save(step, state(step))
        newest = saved.newest()
        assert newest is not None
        assert newest["numbers"][3][2] == step
    kept = {path.name for path in saved.folder.glob("step-*")}
    assert kept == {f"step-{step}" for step in (9, 100, 101)[-keep:]}


def test_a_checkpoint_of_another_run_is_refused_with_every_difference(tmp_path: Path) -> None:
    checkpoints(tmp_path).save(1, state(1))
    other = Checkpoints(checkpoints(tmp_path).folder, {"train": {"lr": 0.2}, "data": "rows", "model": {}}, 2)
    with pytest.raises(InputError, match="2 problem") as error:
        other.newest()
    assert "train.lr: 0.1 there, 0.2 here" in str(error.value)
    assert "model: None there, {} here" in str(error.value)
    assert f"delete {other.folder}" in str(error.value)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def turn_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


WRITTEN = ("__0_0.distcp", ".metadata", "state.json")
DAMAGES = [(damage, file) for file in WRITTEN for damage in (truncate, turn_a_bit, Path.unlink)]


@pytest.mark.parametrize(("damage", "file"), [*DAMAGES, (truncate, "manifest.json"), (Path.unlink, "manifest.json")])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(
    tmp_path: Path, damage: Callable[[Path], None], file: str
) -> None:
    saved = checkpoints(tmp_path)
    saved.save(1, state(1))
    saved.save(2, state(2))
    damage(saved.folder / "step-2" / file)
    with pytest.warns(UserWarning, match=rf"step-2/{file} .* goes on from step 1"):
        assert_equal(saved.newest(), state(1))
    damage(saved.folder / "step-1" / file)
    with pytest.warns(UserWarning, match=rf"step-2/{file} .*step-1/{file} .* starts again"):
        assert saved.newest() is None
    saved.save(1, state(1))
    assert_equal(saved.newest(), state(1))


def test_without_its_pointer_the_newest_is_found(tmp_path: Path) -> None:
    saved = checkpoints(tmp_path)
    for step in (1, 2):
        saved.save(step, state(step))
    (saved.folder / "newest").unlink()
    assert_equal(saved.newest(), state(2))


def killed_at(call: int, folder: Path) -> None:
    """Save step 2 in this process, and end it by SIGKILL at the call of something that moves bytes."""
    calls = 0

    def killing(function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted

    for owner, name in KILLABLE:
        setattr(owner, name, killing(getattr(owner, name)))
    with checkpoints(folder, keep=1).alone():
        checkpoints(folder, keep=1).save(2, state(2))


def test_a_kill_while_one_is_written_leaves_one_that_is_whole(tmp_path: Path) -> None:
    """At each call on the way in turn, until there is no such call any more."""
    found: list[tuple[int | None, int]] = []
    while not found or found[-1][0] == -signal.SIGKILL:
        folder = tmp_path / str(len(found))
        checkpoints(folder, keep=1).save(1, state(1))
        # Forked, since importing torch once for each call takes minutes; of its threads nothing here needs any.
        writer = get_context("fork").Process(target=killed_at, args=(len(found) + 1, folder))
        writer.start()
        writer.join()
        saved = checkpoints(folder, keep=1)
        with saved.alone():
            newest = saved.newest()
        assert newest is not None
        step = newest["numbers"][3][2]
        assert_equal(newest, state(step))
        assert not list(folder.rglob("*.draft"))
        found.append((writer.exitcode, step))
    steps = [step for _, step in found]
    assert found[-1] == (0, 2)
    assert steps == sorted(steps)
    assert steps.count(1) > 10
    assert steps.count(2) > 1  # one at the end was not killed; another while it removed the first


@contextmanager
def small_files(folder: Path) -> Iterator[None]:
    """No file of this process may grow beyond 20 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """The folder is on a disk of 200 kB; skipped where mounting is not allowed."""
    shutil.copytree(folder, kept := folder.with_name("kept"))
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs more rights than we have")
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
        shutil.rmtree(kept)
        shutil.copytree(folder, kept)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
    shutil.copytree(kept, folder, dirs_exist_ok=True)


@pytest.mark.parametrize("full", [small_files, small_disk])
def test_a_full_disk_is_one_error_and_the_checkpoint_before_is_whole(
    tmp_path: Path, full: Callable[[Path], Any]
) -> None:
    saved = checkpoints(tmp_path / "runs")
    saved.save(1, state(1))
    with full(tmp_path / "runs"):
        with pytest.raises(InputError, match=r"step 2 cannot be written to .*: free some disk.* goes on from step 1"):
            saved.save(2, {**state(2), "large": torch.zeros(100_000)})
        assert not list(tmp_path.rglob("*.draft"))
    assert_equal(saved.newest(), state(1))


def test_nothing_in_it_is_pickled_but_torchs_own_index(tmp_path: Path) -> None:
    """So a state that gains an object is refused when it is saved, not when it is read."""
    saved = checkpoints(tmp_path)
    saved.save(1, state(1))
    folder = saved.folder / "step-1"
    assert {path.name for path in folder.iterdir()} == {*WRITTEN, "manifest.json"}
    assert json.loads((folder / "state.json").read_text())["run"] == saved.run
