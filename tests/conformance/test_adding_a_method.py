"""The method of CONTRIBUTING.md in a copy of the package, one file and one line: selectable, searchable, tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

_EXAMPLE = ROOT / "tests" / "conformance" / "added" / "levelled.py"
_USE = """
from pathlib import Path

from gradops.catalogue import methods_page, search_space
from gradops.methods import METHODS, format_method, parse
from pipeline.training.resolve import load_config

method = parse("levelled(power=0.7)")
assert format_method(method) == "levelled(power=0.7)", format_method(method)
options = ["train.method=levelled(power=0.2)", "compare.methods=['all']"]
config = load_config(Path("configs/debug.toml"), options)
assert config.train.method == "levelled(power=0.2)"
assert "levelled(power=0.5)" in config.compare.methods
assert search_space(METHODS["levelled"]) == {"power": (0.0, 1.0)}
assert "## `levelled`" in methods_page() and "| `power` | `0.5` | [0, 1] | 0 keeps every length" in methods_page()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project with the method added."""
    for folder in ("features", "gradops", "models", "pipeline", "tests", "configs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(_EXAMPLE, tmp_path / "gradops" / "methods")
    with (tmp_path / "gradops" / "methods" / "__init__.py").open("r+") as table:
        lines = table.readlines()
        place = next(i for i, line in enumerate(lines) if "import MGDA" in line)
        lines.insert(place, "from gradops.methods.levelled import Levelled as Levelled\n")
        table.seek(0)
        table.writelines(lines)
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project)}
    return subprocess.run(
        [sys.executable, *command], cwd=project, env=environment, capture_output=True, text=True, check=False
    )


def conformance(project: Path) -> subprocess.CompletedProcess[str]:
    suite = ("-m", "pytest", "-n", "0", "-q", "-k", "levelled", "-p", "no:cacheprovider")
    return run(project, *suite, "tests/conformance/test_methods.py")


@pytest.mark.slow
def test_one_file_and_one_line_are_enough(project: Path) -> None:
    used = run(project, "-c", _USE)
    assert used.returncode == 0, used.stderr
    tested = conformance(project)
    passed = re.search(r"(\d+) passed", tested.stdout)
    assert passed, tested.stdout[-2000:]
    assert tested.returncode == 0, tested.stdout[-2000:]
    assert int(passed[1]) > 50


@pytest.mark.slow
def test_a_claim_that_does_not_hold_is_found(project: Path) -> None:
    path = project / "gradops" / "methods" / "levelled.py"
    path.write_text(path.read_text().replace('"permutation_invariant"', '"never_conflicting", "simplex"'))
    tested = conformance(project)
    assert tested.returncode == 1
    for claim in ("never_conflicting", "simplex"):
        assert f"test_claims_hold_on_any_gradients[levelled-{claim}]" in tested.stdout
