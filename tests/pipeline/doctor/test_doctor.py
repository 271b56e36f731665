"""The findings of the doctor, on this machine and on broken ones."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import pytest

from pipeline.doctor import doctor
from pipeline.doctor.finding import Finding
from pipeline.doctor.trio import examine_versions, imported_meanwhile
from pipeline.tracking.pending import PendingRun, PendingRuns
from tests.conftest import debug_config


def findings(folder: Path) -> dict[str, Finding]:
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
        "artifacts",
        "unsent runs",
        "port 5000",
        "free disk",
    }
    assert not list(tmp_path.iterdir()), "the doctor writes nothing"


def test_a_broken_trio_a_missing_store_and_a_full_disk_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"torch": "2.12.0+cpu", "torchrec": None, "fbgemm-gpu": "1.8.0", "fbgemm-gpu-cpu": "1.8.0"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:s3cret@127.0.0.1:9")  # the discard port: nobody answers
    whole = [*examine_versions(installed.get), *doctor.examine_stores([]), doctor.examine_disk(tmp_path, least=2**30)]
    found = {finding.subject: finding for finding in whole}
    wrong = {subject: finding for subject, finding in found.items() if not finding.ok}
    assert wrong.keys() == {"fbgemm builds", "torch", "torchrec", "tracking store", "free disk"}
    assert "uninstall both" in wrong["fbgemm builds"].fix
    assert "2.12.0" in wrong["torch"].found
    assert all(finding.fix for finding in wrong.values())
    assert not any("s3cret" in finding.found + finding.fix for finding in found.values())


def test_an_import_that_fails_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torchrec.py").write_text("raise ImportError('libtorch_cuda.so: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with imported_meanwhile() as imports:
        together, device = imports()
    assert not together.ok
    assert "libtorch_cuda.so" in together.found
    assert device.ok


def test_a_torch_that_does_not_load_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with imported_meanwhile() as imports:
        found = imports()
    assert [finding.subject for finding in found if not finding.ok] == ["trio import", "device"]
    assert all("libgomp.so.1" in finding.found and finding.fix for finding in found)


def test_an_import_that_nobody_waits_for_is_ended() -> None:
    before = time.monotonic()
    with imported_meanwhile():
        pass
    assert time.monotonic() - before < 1, "shorter than the import"


def stores(*overrides: str) -> dict[str, Finding]:
    configs = [debug_config(Path.cwd(), *overrides)] if overrides else []
    return {finding.subject: finding for finding in doctor.examine_stores(configs)}


def tables(revision: str | None) -> None:
    """A database with MLflow's mark of its tables' revision, or empty."""
    with sqlite3.connect("mlflow.db") as database:
        database.execute("CREATE TABLE other (name TEXT)")
        if revision:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    database.close()


def test_tables_of_another_mlflow_are_told_and_not_touched() -> None:
    tables("0123456789ab")
    before = Path("mlflow.db").read_bytes()
    (finding,) = stores().values()
    assert not finding.ok
    assert "its tables are of version 0123456789ab" in finding.found
    assert "mlflow db upgrade" in finding.fix
    assert Path("mlflow.db").read_bytes() == before


def test_an_empty_database_is_left_empty() -> None:
    tables(None)
    before = Path("mlflow.db").read_bytes()
    (finding,) = stores().values()
    assert finding.ok
    assert "made by the first run" in finding.found
    assert Path("mlflow.db").read_bytes() == before


def test_a_folder_of_artifacts_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    found = stores()["artifacts"]
    assert not found.ok
    assert "cannot be written" in found.found


def test_the_database_of_a_search_is_looked_at() -> None:
    found = stores("search.storage='postgresql+psycopg://me:s3cret@127.0.0.1:9/none'")["study store"]
    assert not found.ok
    assert "search.storage" in found.fix
    assert "s3cret" not in found.found


def test_what_waits_to_be_sent_is_counted(tmp_path: Path) -> None:
    pending = PendingRuns(tmp_path / "here" / "runs")
    for fingerprint in ("a", "b", "gone"):
        (pending.runs / fingerprint).mkdir(parents=True)
        (pending.runs / fingerprint / "result.json").touch()
        pending.add(PendingRun("shop", "uniform seed 0", fingerprint, {}, {}))
    (pending.runs / "gone" / "result.json").unlink()
    found = doctor.examine_unsent(tmp_path, [])
    assert (found.ok, found.subject) == (False, "unsent runs")
    assert f"2 in {pending.folder}" in found.found
    assert "once the tracking store is reached" in found.fix
