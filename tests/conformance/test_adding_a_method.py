"""The method of CONTRIBUTING.md in a copy of the package, one file and one line: selectable, searchable, tested."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conformance.project_copy import assert_passed, project_with, run_in, suite_in

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
assert search_space(METHODS["levelled"]()) == {"power": (0.0, 1.0)}
assert "## `levelled`" in methods_page() and "| `power` | `0.5` | [0, 1] | 0 keeps every length" in methods_page()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    line = "from gradops.methods.levelled import Levelled as Levelled"
    return project_with(tmp_path, "levelled.py", "gradops/methods", line, after="import IMTLG as IMTLG")


def conformance(project: Path) -> subprocess.CompletedProcess[str]:
    return suite_in(project, "levelled", "tests/conformance/test_methods.py")


@pytest.mark.slow
def test_one_file_and_one_line_are_enough(project: Path) -> None:
    used = run_in(project, "-c", _USE)
    assert used.returncode == 0, used.stderr
    assert_passed(conformance(project), more_than=10)


@pytest.mark.slow
def test_a_claim_that_does_not_hold_is_found(project: Path) -> None:
    path = project / "gradops" / "methods" / "levelled.py"
    path.write_text(path.read_text().replace('"permutation_invariant"', '"never_conflicting", "simplex"'))
    tested = conformance(project)
    assert tested.returncode == 1
    for claim in ("never_conflicting", "simplex"):
        assert f"test_claims_hold_on_any_gradients[levelled-{claim}]" in tested.stdout
