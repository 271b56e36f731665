"""The first check of a GPU machine, as far as it can be tried without one: on the logical device, and on the CPU."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import epoch, exactness, ranks, steps
from benchmarks.step.setting import Setting
from tests.conftest import ROOT
from tests.logical_device.device import logical_cuda

TINY = {"tiny": Setting(rows=(7, 11), width=4, bottom=(6, 5), batch=32, tasks=2)}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert isinstance(ended.value.code, str), "a text is printed, and ends the process with 1"
    assert re.fullmatch(r"This machine has no CUDA device [^.]*: nothing was run\.", ended.value.code)
    assert not capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_make_gpu_ends_with_an_error_without_a_gpu() -> None:
    found = subprocess.run(["make", "gpu"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode != 0
    assert "This machine has no CUDA device" in found.stderr


def test_exactness_compares_a_device_with_the_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logical_cuda():
        assert exactness.print_table(tmp_path, "cuda", ["gradops, exact"]) == []
    assert re.search(r"gradops, exact +0.0e\+00 +0.0e\+00\n", capsys.readouterr().out)


@pytest.mark.slow
def test_every_case_of_exactness_runs(tmp_path: Path) -> None:
    with logical_cuda():
        assert exactness.print_table(tmp_path, "cuda") == []


def test_a_difference_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "_run", lambda folder, prepared, place, options: place)
    monkeypatch.setattr(exactness, "prepare", lambda config: None)
    monkeypatch.setattr(exactness, "_losses", lambda run: {"a": 1.0})
    for there, expected in ((1.002, 1), (1.0005, 0), (float("nan"), 1)):
        monkeypatch.setattr(exactness, "_first", {"cuda": {"norm": there}, "cpu": {"norm": 1.0}}.__getitem__)
        assert len(exactness.print_table(tmp_path, "cuda", ["uniform"])) == expected
    assert exactness.apart({"a": 1.0}, {"b": 1.0}) == float("inf")


def test_steps_have_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with logical_cuda():
        steps.print_table("cuda", TINY, (32,), rounds=1)
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [re.sub(r" +", " ", line).split(" ")[3] for line in lines] == ["uniform", "exact", "features"]
    assert lines[0].split()[-2] == "1.00"


@pytest.mark.slow
def test_an_epoch_has_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = epoch.click_log(tmp_path, rows=14_000)
    epoch.print_table(log, "cpu", ["float32"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(",")[0] for line in lines] == ["uniform", "gradops(alpha=-1)", "uniform"]
    assert ranks.print_table(log, 1) == []
    given = ranks.command(log, "train.device=cpu", f"runs={tmp_path / 'ranks'}", "train.method=uniform")
    subprocess.run(given, check=True, cwd=ROOT, env={"PATH": str(Path(sys.executable).parent), "HOME": str(tmp_path)})
    assert list((tmp_path / "ranks").glob("*/*.safetensors"))
