"""The steps of a Dockerfile, carried out in a folder without Docker.

A stage is a folder of its own, in which paths below ``/app`` and ``/work`` lie. RUN is run by the shell with the
stage's variables, COPY copies from the repository, from another folder or from a stage. What stays untried: the base
image, steps of ``apt-get``, the user, mounts, and downloads.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_ROOTS = re.compile(r"(?<![\w.])(/app|/work)\b")


@dataclass(frozen=True)
class Step:
    """One instruction: its word and what stands behind it, on one line."""

    word: str
    rest: str


def steps(text: str) -> list[Step]:
    """The steps of a Dockerfile, without comments."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Step(*line.split(maxsplit=1)) for line in joined.splitlines() if line]


@dataclass
class Stage:
    """What a stage has come to."""

    root: Path
    workdir: str = "/"
    variables: dict[str, str] = field(default_factory=dict)
    words: dict[str, list[str]] = field(default_factory=dict)

    def place(self, path: str) -> Path:
        """Where a path of the image lies."""
        return self.root / (path if path.startswith("/") else f"{self.workdir}/{path}").lstrip("/")

    def text(self, text: str) -> str:
        """A text of the image with the places of its paths."""
        return _ROOTS.sub(lambda found: str(self.place(found[1])), text)


@dataclass
class Builder:
    """Carries out the steps.

    Args:
        folder: Where stages get their folders.
        sources: Name to folder, for what is copied out of the build's context.
        environment: The variables in which RUN is run; PATH begins with the commands of the image's Python.
    """

    folder: Path
    sources: Mapping[str, Path]
    environment: Mapping[str, str]
    ran: list[str] = field(default_factory=list)

    def build(self, text: str) -> Stage:
        """Carry out all steps, and return the last stage."""
        stages: dict[str, Stage] = {}
        for step in steps(text):
            if step.word == "FROM":
                name = step.rest.partition(" AS ")[2] or "last"
                stages[name] = stage = Stage(self.folder / name)
                stage.root.mkdir(parents=True)
            elif step.word == "COPY":
                self._copy(step.rest, stage, stages)
            elif step.word == "RUN":
                self._run(step.rest, stage)
            elif step.word == "WORKDIR":
                stage.workdir = step.rest
                stage.place(step.rest).mkdir(parents=True, exist_ok=True)
            elif step.word in ("ARG", "ENV"):
                stage.variables |= dict(pair.split("=", 1) for pair in shlex.split(step.rest))
            elif step.word in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
                stage.words[step.word] = json.loads(stage.text(step.rest[step.rest.index("[") :]))
            else:
                assert step.word in ("USER", "EXPOSE"), f"{step.word} is not known here"
        return stages["last"]

    def _copy(self, rest: str, stage: Stage, stages: Mapping[str, Stage]) -> None:
        *names, target = rest.split()
        from_stage = stages[names.pop(0).removeprefix("--from=")] if names[0].startswith("--from=") else None
        for name in names:
            source = from_stage.place(name) if from_stage else self.sources[name]
            place = stage.place(target)
            if source.is_dir():
                shutil.copytree(source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, place)

    def _run(self, rest: str, stage: Stage) -> None:
        command = re.sub(r"--mount=\S+ +", "", rest)
        if command.startswith("apt-get"):
            return
        self.ran.append(command)
        variables = {**os.environ, **stage.variables, **self.environment}
        where = stage.place(stage.workdir)
        done = subprocess.run(
            ["sh", "-ec", stage.text(command)], cwd=where, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"RUN {command}: {done.stdout}{done.stderr}"
