"""The command `gradops`: the list of its commands, and the message and exit code of each error.

Exit codes: 0: done; 1: any error not named here; 2: the user's input is wrong; 3: the gate refused a model; 4: another
run holds the lock; 130: interrupted by Ctrl-C or SIGTERM, with everything saved, so that the same command continues.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from filelock import Timeout
from typer.core import TyperCommand, TyperGroup

from features.errors import InputError
from jobs.console import FAILED, INTERRUPTED, LOCKED, WRONG_INPUT, err
from pipeline.files.redaction import without_passwords
from pipeline.tracking.errors import AwayError

# Each command is the file of its name in this folder; its help is the docstring of the file's `main`.
COMMANDS = (
    "doctor",
    "fetch",
    "synth",
    "label",
    "methods",
    "prepare",
    "train",
    "compare",
    "search",
    "report",
    "promote",
    "rollback",
    "score",
    "daily",
)

# Set before any command imports MLflow: a training job sends no telemetry unless its user asks for it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Without this the interpreter spends two seconds at exit on garbage collection of modules that end with the process.
atexit.register(gc.freeze)


class _Command(TyperCommand):
    """A command whose file is imported only when the user gives the command."""

    def make_context(self, *args: Any, **options: Any) -> Any:
        """Import the file, and parse the options of its `main`."""
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(self.name)(import_module(f"jobs.{self.name}").main)
        return typer.main.get_command(app).make_context(*args, **options)


class _Commands(TyperGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: _Command(name) for name in COMMANDS}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """List the commands."""
        for name, command in self.commands.items():
            command.help = _help(name)
        super().format_help(ctx, formatter)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that the user can mend becomes a message and an exit code, without a traceback."""
        try:
            return super().invoke(ctx)
        except (InputError, AwayError) as error:
            message = without_passwords(f"error: {error}")
            err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
            raise typer.Exit(WRONG_INPUT if isinstance(error, InputError) else FAILED) from None
        except Timeout as error:
            err.print(f"error: another run holds {error.lock_file}; wait for it to end", style="red", markup=False)
            raise typer.Exit(LOCKED) from None
        except KeyboardInterrupt:
            err.print("interrupted; the same command goes on from there", style="red")
            raise typer.Exit(INTERRUPTED) from None


def _help(name: str) -> str:
    """The docstring of a command's `main`, read from its file without importing the file."""
    import ast  # needed only for the list of commands

    source = ast.parse(Path(__file__).with_name(f"{name}.py").read_text())
    (main,) = (part for part in source.body if isinstance(part, ast.FunctionDef) and part.name == "main")
    return ast.get_docstring(main) or ""


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# An orchestrator ends a job by SIGTERM: the command then saves its state as it does for Ctrl-C. Workers just end.
if multiprocessing.parent_process() is None:
    signal.signal(signal.SIGTERM, _interrupt)


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _gradops() -> None:
    """Multi-task learning on tabular click data with gradient surgery, from log to served model."""
