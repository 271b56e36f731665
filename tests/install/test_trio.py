"""torchrec and fbgemm: left out of the wheel's requirements, added by one command that every place names alike."""

from __future__ import annotations

import re
import tomllib

import pytest

from jobs.console import FAILED
from jobs.failures import report
from pipeline.runtime.trio import COMMAND, TORCHREC, missing
from tests.conftest import ROOT


def test_the_versions_of_command_lock_and_group_are_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["dependency-groups"]["train"] == [f"torchrec=={TORCHREC}"]
    assert f"\ntorchrec=={TORCHREC}\n" in (ROOT / "requirements" / "lock.txt").read_text()
    builds = [(ROOT / "requirements" / f"{variant}.txt").read_text().strip() for variant in ("cpu", "cuda")]
    assert builds == [f"fbgemm-gpu-cpu=={TORCHREC}", f"fbgemm-gpu=={TORCHREC}"]
    assert COMMAND.split()[-2:] == [f"torchrec=={TORCHREC}", builds[0]]


def test_no_requirement_or_extra_brings_torchrec() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [need for needs in project["optional-dependencies"].values() for need in needs]
    names = {re.split(r"[^\w-]", need)[0] for need in [*project["dependencies"], *extras]}
    assert "torch" in names
    assert not {name for name in names if name == "torchrec" or name.startswith("fbgemm")}


@pytest.mark.parametrize("module", ["torchrec", "torchrec.modules.embedding_configs", "fbgemm_gpu.tbe"])
def test_a_command_that_trains_without_them_names_the_command_that_adds_them(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(ModuleNotFoundError(f"No module named {module!r}", name=module), interrupted=False) == FAILED
    said = capsys.readouterr().err
    assert said.startswith(f"error: this command needs {module.partition('.')[0]}, which is not installed")
    assert f"run `{COMMAND}`" in said


@pytest.mark.parametrize("error", [ModuleNotFoundError(name="other"), ModuleNotFoundError(), ImportError("torchrec")])
def test_other_errors_of_an_import_are_not_taken_for_it(error: Exception) -> None:
    assert missing(error) is None
