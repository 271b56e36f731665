"""The command `gradops`: which commands there are, and what their errors become.

Exit codes: 0 done; 2 the user's input is wrong; 3 the gate refused a model; 4 another run holds the lock; 130
interrupted, by Ctrl-C or SIGTERM, with everything saved: the same command goes on from there; 1 anything else.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
from typing import Any

import typer
from filelock import Timeout
from typer.core import TyperGroup

from features.errors import InputError
from jobs import (
    compare,
    daily,
    doctor,
    fetch,
    label,
    methods,
    prepare,
    promote,
    report,
    rollback,
    score,
    search,
    synth,
    train,
)
from jobs.console import FAILED, INTERRUPTED, LOCKED, WRONG_INPUT, err
from pipeline.files.redaction import without_passwords
from pipeline.tracking.errors import AwayError

# Commands import MLflow only when they run, after this: a training job calls nobody unless its user says so.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Without this the interpreter spends two seconds at its end collecting modules that vanish with it.
atexit.register(gc.freeze)


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command; an error that the user can mend is a message and an exit code, not a traceback."""
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


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# An orchestrator ends a job by SIGTERM: it is to leave the same order behind as Ctrl-C. Workers just end.
if multiprocessing.parent_process() is None:
    signal.signal(signal.SIGTERM, _interrupt)


app = typer.Typer(
    cls=_Commands,
    help="Multi-task learning on tabular click data with gradient surgery, from log to served model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (
    doctor,
    fetch,
    synth,
    label,
    methods,
    prepare,
    train,
    compare,
    search,
    report,
    promote,
    rollback,
    score,
    daily,
):
    app.command(module.__name__.removeprefix("jobs."))(module.main)
