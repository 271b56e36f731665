"""Options that commands share, their exit codes, and their printing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from filelock import FileLock
from rich.console import Console
from rich.progress import Progress, ProgressColumn

from jobs.only_config import only_config

if TYPE_CHECKING:
    from pipeline.config.run import RunConfig

# Exit codes, in this order: any other error, wrong input of the user, a model refused by the gate, a lock held by
# another run. That of an interruption is in `pipeline.runtime.signals`.
FAILED, WRONG_INPUT, REFUSED, LOCKED = 1, 2, 3, 4
# Results go to standard output; progress and errors to standard error, so that `--json` can be piped.
# A file or a pipe has no width, and no line of it is folded.
out = Console(width=None if sys.stdout.isatty() else 10_000)
err = Console(stderr=True)


def announced(word: str) -> Callable[..., Any]:
    """A callback that names a command's subject at once: what the command needs takes seconds to import.

    Args:
        word: The word before the subject. A subject that was found, not given, is named by whatever finds it.
    """

    def announce(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
        source = ctx.get_parameter_source(str(param.name))
        if source is not None and source.name == "COMMANDLINE" and not ctx.resilient_parsing:
            err.print(f"{word}: {value}", highlight=False, markup=False, soft_wrap=True)
        return value

    return announce


_config = typer.Argument(
    help="TOML file of the run.",
    default_factory=only_config,
    show_default="the only one in this folder",
    callback=announced("config"),
)
Config = Annotated[Path, _config]
_set = typer.Option(
    "--set",
    help="Override a value, as section.key=value.",
    default_factory=list,
    metavar="KEY=VALUE",
    show_default=False,
)
Overrides = Annotated[list[str], _set]
MODEL_HELP = "models:/NAME@ALIAS, models:/NAME/VERSION, any other model URI of MLflow, or a folder."
Model = Annotated[str, typer.Argument(help=MODEL_HELP, show_default=False, callback=announced("model"))]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]

_EVER = 30 * 24 * 3600.0  # seconds


@contextmanager
def locked(config: RunConfig) -> Iterator[None]:
    """Keep other commands from training a config's runs while the block runs.

    Raises:
        Timeout: If another command is training them.
    """
    config.runs.mkdir(parents=True, exist_ok=True)
    with FileLock(config.runs / f"{config.name}.lock", timeout=0):
        yield


def show(text: Any, data: Any, as_json: bool) -> None:
    """Print a result as text, or as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=1, default=str) + "\n")
    else:
        # No markup: a path may have brackets.
        out.print(text, highlight=False, markup=False, soft_wrap=isinstance(text, str))


def file_notes(left_out: Sequence[str], widened: Sequence[str]) -> list[str]:
    """Sentences on the files beside those that were read, and on columns that files have in several types.

    Args:
        left_out: The files that are not read.
        widened: A sentence a column.
    """
    from pipeline.files.table import Table

    note = Table((), tuple(map(Path, left_out))).note
    return [*filter(None, [note]), *widened]


class Bars:
    """Progress bars on a terminal while the block runs; elsewhere nothing is shown.

    Args:
        columns: The columns of a bar.
    """

    def __init__(self, *columns: ProgressColumn) -> None:
        # An epoch may take an hour: the time left is estimated from all that was done before.
        self._bars = Progress(*columns, console=err, disable=not err.is_terminal, speed_estimate_period=_EVER)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the bars as they are: what follows is shown in another way."""
        self._bars.stop()
