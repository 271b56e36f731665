"""The command `gradops` in tests: called in the test's own process, or started as a user starts it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from typer.testing import CliRunner

from jobs.cli import app
from tests.conftest import ROLES, ROOT

DEBUG = str(ROOT / "configs" / "debug.toml")
GRADOPS = (sys.executable, "-m", "jobs")


def places() -> list[str]:
    """Options that make the debug config read the project's rows from wherever the test runs."""
    overrides = [f"data.{role}={ROOT}/tests/data/census/{file}.parquet" for role, file in ROLES.items()]
    return [part for override in overrides for part in ("--set", override)]


def run(*arguments: str) -> tuple[int, str, str]:
    """A command's exit code, what it prints and what it says on the way."""
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    """Wait until something is so, and fail if it is not in time."""
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)
