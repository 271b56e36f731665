"""The command `gradops`: the list of its commands, and the message and exit code of each error.

Exit codes: 0: done; 1: any error not named here; 2: the user's input is wrong; 3: the gate refused a model, or
`skew --fail-above` found more; 4: another run holds the lock; 130: interrupted by Ctrl-C or SIGTERM, with everything
saved, so that the same command continues.
"""

from __future__ import annotations

import ast
import atexit
import gc
import os
import re
from importlib import import_module, metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from features.nearest import did_you_mean
from jobs.failures import in_plain_words, report
from pipeline.runtime.signals import interruptible

# Each command is the file of its name in this folder; its help is the docstring of the file's `main`, and the commands
# in the file's docstring are its examples.
COMMANDS = (
    "doctor",
    "fetch",
    "synth",
    "label",
    "import",
    "init",
    "methods",
    "prepare",
    "plan",
    "train",
    "compare",
    "search",
    "report",
    "explain",
    "promote",
    "rollback",
    "score",
    "serve",
    "export",
    "skew",
    "daily",
    "clean",
    "completion",
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
        name = str(self.name)
        app.command(name, epilog=_examples(name))(import_module(f"jobs.{name}").main)
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

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """The commands that begin with a word, each with its help where the shell shows one."""
        for name, command in self.commands.items():
            command.help = _help(name)
        return super().shell_complete(ctx, incomplete)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the user gives; an unknown one is told with the nearest, or with all."""
        if args[0] not in self.commands:
            ctx.fail(f"There is no command '{args[0]}'; {did_you_mean(args[0], COMMANDS, 'the commands are')}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that the user can mend becomes a message and an exit code, without a traceback."""
        # torchrun hands each signal on to its ranks, which the terminal has told already: for a rank both are one.
        with interruptible(second_ends="TORCHELASTIC_RUN_ID" not in os.environ) as interruptions:
            try:
                return super().invoke(ctx)
            except typer.BadParameter as error:
                error.message = in_plain_words(error.message)
                raise
            except BaseException as error:
                code = report(error, interrupted=interruptions.has_arrived)
                if code is None:
                    raise
        raise typer.Exit(code)


def _help(command: str) -> str:
    """The docstring of a command's `main`, read from its file without importing the file."""
    (main,) = (part for part in _source(command).body if isinstance(part, ast.FunctionDef) and part.name == "main")
    return ast.get_docstring(main) or ""


def _examples(command: str) -> str:
    """The command lines in the docstring of a command's file, for the end of its help."""
    lines = re.findall(r"`((?:gradops|torchrun) [^`]+)`", ast.get_docstring(_source(command)) or "")
    return "\n\n".join(f"Example: {line}" for line in lines)


def _source(command: str) -> ast.Module:
    return ast.parse(Path(__file__).with_name(f"{command}.py").read_text())


def _print_version(wanted: bool) -> None:  # typer calls it so
    if wanted:
        typer.echo(f"gradops {metadata.version('gradops')}")
        raise typer.Exit


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


_version = typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")


@app.callback()
def _gradops(version: Annotated[bool, _version] = False) -> None:  # its callback prints it
    """Multi-task learning on tabular click data with gradient surgery, from log to served model."""
