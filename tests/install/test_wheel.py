"""The wheel: what is in it, what it asks for, and the commands that work without torchrec."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
import zipfile
from email.parser import Parser
from pathlib import Path

import polars as pl
import pytest

from pipeline.runtime.trio import COMMAND
from tests.commands import DEBUG, places, run, wait_until
from tests.conftest import ROOT
from tests.install.installed import build_wheel, environment_with, own_variables, typed
from tests.pipeline.small_shop import shop_log

PACKAGES = ("features", "gradops", "jobs", "models", "pipeline")

pytestmark = pytest.mark.slow  # a build, an environment, and commands in processes of their own


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment_with(wheel, tmp_path_factory.mktemp("environment") / "clean")


def test_it_holds_every_file_of_the_packages_and_no_other(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    inside = {name for name in names if ".dist-info/" not in name}
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    assert inside == {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert {"gradops/py.typed", "pipeline/report/page.css", "pipeline/report/report.html"} <= inside
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_it_asks_for_torch_and_what_torchrec_needs_but_not_for_torchrec(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = Parser().parsestr(archive.read(name).decode())
    needs = metadata.get_all("Requires-Dist") or []
    assert "torch==2.13.0" in needs
    assert any(need.startswith("tensordict") for need in needs)
    assert not [need for need in needs if need.startswith(("torchrec", "fbgemm"))]
    assert metadata["Requires-Python"] == ">=3.11"
    assert {"ray", "storage", "onnx", "delta", "dev"} == {*(metadata.get_all("Provides-Extra") or [])}


def test_words_about_commands_and_the_doctor_without_torchrec(commands: Path) -> None:
    assert typed(commands, "gradops", "--version").stdout.startswith("gradops ")
    assert "compare" in typed(commands, "gradops", "--help").stdout
    place = typed(commands, "python", "-c", "import gradops; print(gradops.__file__)").stdout
    assert Path(place).is_relative_to(commands.parent), "the wheel's own files, not the repository's"
    doctor = typed(commands, "gradops", "doctor", "--json")
    assert doctor.returncode == 1
    wrong = {finding["subject"]: finding for finding in json.loads(doctor.stdout) if not finding["ok"]}
    assert wrong.keys() == {"torchrec", "fbgemm", "trio import"}
    assert all(COMMAND in finding["fix"] for finding in wrong.values())


def test_drafting_preparing_and_cleaning_need_no_torchrec_and_training_names_the_command(commands: Path) -> None:
    Path("logs").mkdir()
    shop_log().rename({"bought": "purchase", "carted": "cart"}).write_parquet("logs/clicks.parquet")
    drafted = typed(commands, "gradops", "init", "logs", "--label", "purchase", "--label", "cart", "--yes")
    assert drafted.returncode == 0, drafted.stderr
    assert "logs.toml: 2 task(s)" in drafted.stdout
    prepared = typed(commands, "gradops", "prepare")
    assert prepared.returncode == 0, prepared.stderr
    cleaned = typed(commands, "gradops", "clean", "--keep", "14d")
    assert cleaned.returncode == 0, cleaned.stderr
    for command in ("train", "compare", "search"):
        refused = typed(commands, "gradops", command)
        assert refused.returncode == 1
        assert f"run `{COMMAND}`" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_model_made_elsewhere_is_scored_reported_and_served_without_torchrec(commands: Path) -> None:
    methods = ("--methods", "uniform", "--epochs", "1", "--workers", "1")
    code, out, err = run("compare", DEBUG, *places(), *methods, "--set", "compare.boosting=false")
    assert code == 0, err
    assert "balanced → version 1" in out
    rows = ROOT / "tests" / "data" / "census" / "test.parquet"
    scored = typed(commands, "gradops", "score", "--model", "models:/debug@balanced", str(rows), "scores")
    assert scored.returncode == 0, scored.stderr
    scores = pl.read_parquet("scores/**/*.parquet")
    assert scores.height == pl.read_parquet(rows).height
    reported = typed(commands, "gradops", "report", DEBUG, *places(), "--output", "page.html")
    assert reported.returncode == 0, reported.stderr
    assert "uniform" in Path("page.html").read_text()
    row = pl.read_parquet(rows).head(1)
    served = served_scores(commands, "models:/debug@balanced", row)
    for task, score in served.items():
        assert score == pytest.approx(scores[task][0], abs=1e-6)


def served_scores(commands: Path, model: str, row: pl.DataFrame) -> dict[str, float]:
    """The answer of `gradops serve` to a request for one row."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    words = [str(commands / "gradops"), "serve", model, "--port", str(port)]
    with subprocess.Popen(words, env=own_variables(), stdout=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: server.poll() is None and is_up(port), 240)
            body = json.dumps({"dataframe_records": row.to_dicts()}).encode()
            request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                (scores,) = json.loads(answer.read())["predictions"]
        finally:
            server.terminate()
            assert server.wait(60) == 0
    return dict(scores)


def is_up(port: int) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0
