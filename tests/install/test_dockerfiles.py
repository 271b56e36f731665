"""The images: their files are clean, and their steps lead to commands that work, as far as Docker is not needed."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.commands import DEBUG, places, run, wait_until
from tests.conftest import ROOT
from tests.install.dockerfile import Builder, Step, steps
from tests.install.installed import linked_environment, own_variables

FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, *FILES], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (0, "")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_image_is_pinned_without_a_cache_and_not_roots(file: Path) -> None:
    found = steps(file.read_text())
    bases = {step.rest.partition(" AS ")[0] for step in found if step.word == "FROM"}
    assert bases == {"python:3.11.13-slim-bookworm"}
    assert Step("USER", "10001") in found
    pips = [step.rest for step in found if step.word == "RUN" and "pip " in step.rest]
    assert all(rest.count("pip install") + rest.count("pip wheel") == rest.count("--no-cache-dir") for rest in pips)
    assert ("serve" in file.stem) == any(step.word == "HEALTHCHECK" for step in found)


def builder(folder: Path, *without: str, model: Path | None = None) -> Builder:
    """A builder whose Python has the pinned packages already: pip only has to agree, and to install the wheel."""
    commands = linked_environment(folder / "python", without=without)
    packages = {path: ROOT / path for path in ("features", "gradops", "jobs", "models", "pipeline", "requirements")}
    files = {path: ROOT / path for path in ("pyproject.toml", "README.md", "LICENSE")}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment = {**own_variables(), **offline, "PATH": f"{commands}:{own_variables()['PATH']}"}
    return Builder(folder / "stages", {**packages, **files, **({"model": model} if model else {})}, environment)


@pytest.mark.slow
def test_the_steps_of_the_training_image_lead_to_a_training(tmp_path: Path) -> None:
    made = builder(tmp_path / "image")
    stage = made.build((ROOT / "docker" / "train.Dockerfile").read_text())
    assert sum("pip" in command for command in made.ran) == 2
    words = [*stage.words["ENTRYPOINT"], "train", DEBUG, *places(), "--json"]
    trained = subprocess.run(
        words, cwd=stage.place("."), env=made.environment, capture_output=True, text=True, check=False
    )
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["test"]["marital"]["auc"] > 0.8
    assert list(stage.place("debug/runs").iterdir())


@pytest.mark.slow
def test_the_steps_of_the_serving_image_lead_to_a_healthy_server_without_torchrec(tmp_path: Path) -> None:
    code, _, err = run("compare", DEBUG, *places(), "--methods", "uniform", "--epochs", "1", "--workers", "1")
    assert code == 0, err
    download = [sys.executable, "-m", "mlflow", "artifacts", "download", "-u", "models:/debug@balanced", "-d", "model"]
    subprocess.run(download, capture_output=True, check=True)
    made = builder(tmp_path / "image", "torchrec", "fbgemm", model=tmp_path / "model")
    stage = made.build((ROOT / "docker" / "serve.Dockerfile").read_text())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = [port if word == "8080" else word for word in stage.words["ENTRYPOINT"] + stage.words["CMD"]]
    health = [word.replace(":8080", f":{port}") for word in stage.words["HEALTHCHECK"]]
    with subprocess.Popen(words, env={**made.environment, **stage.variables}, cwd=tmp_path) as server:
        try:
            wait_until(lambda: server.poll() is None and is_healthy(health, made), 240)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=60) as answer:
                assert json.loads(answer.read())["outputs"] == ["income", "marital", "education"]
        finally:
            server.terminate()
            assert server.wait(60) == 0
    assert not is_healthy(health, made), "the check fails where no server answers"


def is_healthy(check: list[str], made: Builder) -> bool:
    """Whether the image's check of its health passes."""
    return subprocess.run(check, env=made.environment, capture_output=True, check=False).returncode == 0
