"""Passwords appear nowhere: not in the texts of libraries, nor in any output or file of a run."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.files.redaction import without_passwords
from tests.conftest import ROLES, ROOT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("sqlite:///mlflow.db", "sqlite:///mlflow.db"),
        ("http://there:5000", "http://there:5000"),
        ("http://me@there:5000/x", "http://me@there:5000/x"),
        ("http://me:s3cret@there:5000/x", "http://me:***@there:5000/x"),
        ("postgresql+psycopg://me:s3:cr/e@t@there/db", "postgresql+psycopg://me:***@there/db"),
        ("no answer (http://:s3cret@there) from it", "no answer (http://:***@there) from it"),
        ("postgresql://there/db?user=me&password=s3cret&x=1", "postgresql://there/db?user=me&password=***&x=1"),
        ("https://there/x?access_token=s3cret and more", "https://there/x?access_token=*** and more"),
        ("https://there/x?sv=1&sig=s3cret%3D", "https://there/x?sv=1&sig=***"),
        ("two: http://a:s3cret@b http://c:s3cret@d", "two: http://a:***@b http://c:***@d"),
    ],
)
def test_a_text_loses_the_passwords_of_its_urls(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.slow
def test_a_run_leaves_files_as_the_umask_wants_them_and_no_password_in_them(tmp_path: Path) -> None:
    """With a server that is away, a study's database that is not there, and a umask that lets only the group read."""
    overrides = [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    options = [part for override in overrides for part in ("--set", override)]
    storage = ["--set", "search.storage='postgresql+psycopg://me:s3cret@127.0.0.1:9/none'"]
    code = (
        "import os, sys; os.umask(0o027); from jobs.cli import app\n"
        "for command in ('compare', 'search', 'doctor'):\n"
        "    try: app([command, *sys.argv[1:]] if command != 'doctor' else [command])\n"
        "    except SystemExit as ended: print('exit', command, ended.code)\n"
    )
    environment = os.environ | {"MLFLOW_TRACKING_URI": "http://me:s3cret@127.0.0.1:9", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(ROOT / "configs" / "debug.toml"), *options, *storage]
    command += ["--set", "compare.methods=['uniform']", "--set", "compare.boosting=false"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("exit")] == [
        "exit compare 1",
        "exit search 2",
        "exit doctor 1",
    ], done.stderr
    assert "s3cret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    written = list(tmp_path.rglob("*"))
    assert {path.name for path in written} >= {"unsent", "result.json", "weights.safetensors", "manifest.json"}
    for path in written:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode & 0o027 == 0, f"{path} has {mode:o}"
        assert path.is_dir() or not mode & 0o111, f"{path} has {mode:o}"
        assert path.is_dir() or b"s3cret" not in path.read_bytes(), path
