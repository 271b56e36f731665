"""The time to a command's first line: what is imported for it, and what waits until it is needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import COMMANDS
from tests.commands import DEBUG, GRADOPS

# Each takes a tenth of a second or more to import.
HEAVY = {"torch", "torchrec", "fbgemm_gpu", "mlflow", "alembic", "sqlalchemy", "pandas", "polars", "scipy", "plotly"}
_WATCHED = """
import sys
from jobs.cli import app
try:
    app(prog_name="gradops")
finally:
    print("imported:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
_FIRST = """
import sys
from pathlib import Path
from pipeline.doctor.doctor import examine
findings = examine(Path.cwd())
print(next(findings).subject, *sorted({name.partition(".")[0] for name in sys.modules}))
subjects = [next(findings).subject for _ in range(8)]
print(*subjects)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
findings.close()  # what is left waits for the import of torch in another process
"""


def imported(*arguments: str) -> tuple[int, str, set[str]]:
    """A command's exit code, what it prints, and the packages that its process has imported by its end."""
    command = [sys.executable, "-c", _WATCHED, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    names = done.stderr.splitlines()[-1].removeprefix("imported: ").split()
    return done.returncode, done.stdout + done.stderr, set(names)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "Train one model"),
        ([], 2, "Train one model"),
        (["compre"], 2, "did you mean `compare`?"),
        (["train", "--help"], 0, "torchrun spreads it over ranks"),
        (["train"], 2, "error: no config is named"),
        (["--version"], 0, "gradops "),
        (["compare", DEBUG, "--no-such-option"], 2, "No such option"),
    ],
)
def test_words_about_commands_need_no_library(arguments: list[str], code: int, text: str) -> None:
    ended, printed, modules = imported(*arguments)
    assert ended == code
    assert text in " ".join(printed.replace("│", " ").split())
    assert not modules & HEAVY


def test_every_command_is_in_the_help_with_its_own_words() -> None:
    done = subprocess.run([*GRADOPS, "--help"], capture_output=True, text=True, check=True)
    lines = [line.strip("│ ").split() for line in done.stdout.splitlines()]
    named = [words for words in lines if words and words[0] in COMMANDS]
    assert [words[0] for words in named] == list(COMMANDS)
    assert all(len(words) > 3 for words in named)


def test_the_doctor_needs_neither_torch_nor_mlflow_on_a_new_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    done = subprocess.run([sys.executable, "-c", _FIRST], capture_output=True, text=True, check=True)
    first, others, last = (line.split() for line in done.stdout.splitlines())
    assert first[0] == "python"
    assert not set(first) & HEAVY
    assert others[-2:] == ["free", "disk"]
    assert not set(last) & HEAVY


@pytest.mark.slow
def test_the_doctor_shows_its_first_finding_before_the_last_is_known() -> None:
    with subprocess.Popen([*GRADOPS, "doctor"], stdout=subprocess.PIPE, text=True) as doctor:
        assert doctor.stdout is not None
        assert "python" in doctor.stdout.readline()
        assert doctor.poll() is None, "it looks on"
        rest = doctor.stdout.read()
    assert doctor.returncode == 0, rest
    assert "torchrec load together" in rest


@pytest.mark.slow
@pytest.mark.parametrize("module", ["jobs", "jobs.train"])
def test_training_is_started_by_module_under_its_old_name_too(module: str, tmp_path: Path) -> None:
    arguments = ["missing.toml"] if module == "jobs.train" else ["train", "missing.toml"]
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: missing.toml cannot be read" in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("line", "said"), [("gradops comp", "compare completion"), ("gradops compare --me", "--methods")]
)
def test_a_shell_completes_commands_and_options(line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = subprocess.run([*GRADOPS, "completion", "bash"], capture_output=True, text=True, check=True).stdout
    # The shell's own function, with the words that bash would give it; `gradops` is this Python's.
    called = f'gradops() {{ "{sys.executable}" -m jobs "$@"; }}\n{script}\nCOMP_WORDS=({line})\n'
    called += "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\nexport -f gradops\n"
    shell = called.replace("$1 )", "bash -c gradops )") + '_gradops_completion gradops\necho "${COMPREPLY[*]}"'
    done = subprocess.run(["bash", "--norc", "-c", shell], capture_output=True, text=True, check=False)
    assert done.stdout.split() == said.split(), done.stderr
