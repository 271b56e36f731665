"""Completion of commands and options by the shell: `gradops completion bash >> ~/.bashrc`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

from jobs.console import AsJson, show


class Shell(StrEnum):
    """The shells that can complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def main(
    shell: Annotated[Shell, typer.Argument(help="The shell that reads the script.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Print a script with which the shell completes commands and options; its startup file is the place for it."""
    script: str = get_completion_script(prog_name="gradops", complete_var="_GRADOPS_COMPLETE", shell=shell.value)
    show(script, {"shell": shell.value, "script": script}, as_json)


def know_shells() -> None:
    """Let typer answer the scripts that it made: it does so by itself only where its own options print them."""
    completion_init()
