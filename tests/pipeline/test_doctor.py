"""What the doctor finds, on this machine and on broken ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline import doctor


def findings(folder: Path) -> dict[str, doctor.Finding]:
    return {finding.subject: finding for finding in doctor.examine(folder)}


def test_this_installation_is_well(tmp_path: Path) -> None:
    found = findings(tmp_path)
    assert all(finding.ok for finding in found.values()), found
    assert found.keys() == {
        "python",
        "torch",
        "torchrec",
        "fbgemm",
        "trio import",
        "device",
        "tracking store",
        "free disk",
    }


def test_a_broken_trio_a_missing_store_and_a_full_disk_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": "2.12.0+cpu", "torchrec": None, "fbgemm-gpu": "1.8.0", "fbgemm-gpu-cpu": "1.8.0"}
    monkeypatch.setattr(doctor, "_version", installed.get)
    usage = SimpleNamespace(total=2**40, used=2**40, free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # the discard port: nobody answers
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # restored afterwards; the doctor sets it
    monkeypatch.setattr(doctor, "_imports", lambda: doctor.Finding("trio import", True, ""))
    found = findings(tmp_path)
    wrong = {subject: finding for subject, finding in found.items() if not finding.ok}
    assert wrong.keys() == {"fbgemm builds", "torch", "torchrec", "tracking store", "free disk"}
    assert "uninstall both" in wrong["fbgemm builds"].fix
    assert "2.12.0" in wrong["torch"].found
    assert all(finding.fix for finding in wrong.values())


def test_an_import_that_fails_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchrec.py").write_text("raise ImportError('libtorch_cuda.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    finding = doctor._imports()
    assert not finding.ok
    assert "libtorch_cuda.so" in finding.found
