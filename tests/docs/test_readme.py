"""The README's five commands, typed as they stand there, from the files of several logs to an answered request."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.sources.clicklog import Options, generate
from tests.commands import GRADOPS, run, wait_until
from tests.conftest import ROOT
from tests.docs.blocks import blocks
from tests.pipeline.small_shop import shop_log, write_config


def commands() -> list[list[str]]:
    """The words of each line of the block under "Your own data"."""
    section = (ROOT / "README.md").read_text().partition("\n## Your own data\n")[2]
    return [shlex.split(line, comments=True) for line in blocks("", section)[0].splitlines()]


def test_there_are_five_commands_at_most_and_they_lead_from_files_to_a_server() -> None:
    lines = commands()
    assert len(lines) <= 5
    assert [words[:2] for words in lines[:2]] == [["gradops", "import"], ["gradops", "init"]]
    assert lines[2] == ["gradops", "search", "--budget", "30m"]
    assert [words[:2] for words in lines[3:]] == [["gradops", "report"], ["gradops", "serve"]]


@dataclass(frozen=True)
class Log:
    """A log that is taken from its files to an answered request by the README's commands.

    Args:
        write: Writes `clicks.csv`, or a folder `logs` of Parquet, which needs no import.
        labels: The labels, where they are not those of the README.
    """

    write: Callable[[], None]
    labels: Sequence[str] = ("purchase", "cart")


def write_shop() -> None:
    log = shop_log(2000).rename({"bought": "purchase", "carted": "cart"})
    log.with_columns(pl.col("tags").cast(pl.List(pl.String)).list.join("|")).write_csv("clicks.csv")


def write_generated() -> None:
    generate(Options(rows=60_000), Path("logs"))


def write_census() -> None:
    """All of Census-income where it was fetched, else the few rows of it that are here."""
    fetched = ROOT / "data" / "census" / "train.parquet"
    link_to(fetched if fetched.exists() else ROOT / "tests" / "data" / "census" / "train.parquet")


def write_real(name: str) -> None:
    path = Path(os.environ.get("GRADOPS_LOGS", ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        pytest.skip(f"no {path}; GRADOPS_LOGS names another folder")
    link_to(path)


def link_to(path: Path) -> None:
    Path("logs").mkdir()
    Path("logs/part-0.parquet").symlink_to(path)


LOGS = {
    "a CSV": Log(write_shop),
    "generated": Log(write_generated),
    "census": Log(write_census, ("income_50k", "single=marital_stat = 'Never married'")),
    "visits": Log(partial(write_real, "taobao_userbehavior_visits.parquet")),
    "views": Log(partial(write_real, "rees46_oct2019_views.parquet")),
}


@pytest.mark.parametrize(
    ("name", "budget"),
    [("a CSV", 20), *(pytest.param(name, 60, marks=pytest.mark.slow) for name in LOGS)],
)
def test_the_readmes_commands_lead_from_files_to_an_answered_request(name: str, budget: int) -> None:
    LOGS[name].write()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    said, typed = "", [words[1:] for words in commands()]
    for command, *rest in typed[int(Path("logs").exists()) :]:
        if command == "search":
            said += searched(command, *rest, seconds=budget)
        elif command == "serve":
            # The only addition beside a smaller budget: a port that is free here.
            assert_answers([*GRADOPS, command, *rest, "--port", port], port, LOGS[name])
        else:
            said += ended([*GRADOPS, command, *relabelled(rest, LOGS[name].labels)])
    assert "logs.toml: 2 task(s)" in said
    assert "registered model logs: " in said
    assert list(Path("runs/studies").glob("*.html"))


def relabelled(words: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The words of a command with other labels in the places of its own."""
    other = iter(labels)
    return [next(other) if before == "--label" else word for before, word in pairwise(["", *words])]


def ended(words: Sequence[str]) -> str:
    """What a command prints that ends well."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def searched(*words: str, seconds: int) -> str:
    """What a search prints; where the budget ends before the baselines have, it goes on with a larger one, as told."""
    command = [*GRADOPS, *words, "--budget", f"{seconds}s", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if f"the budget of {seconds}s was over with" in done.stderr:  # a machine that is busy with other things
        assert "the same command with a larger `--budget` goes on" in done.stderr
        return searched(*words, seconds=2 * seconds)
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_answers(words: list[str], port: str, log: Log) -> None:
    """A server that a command starts says where it listens, scores a row of the log, and ends in order."""
    tasks = {label.partition("=")[0] for label in log.labels}
    row = pl.scan_parquet("logs/**/*.parquet").drop(tasks, strict=False).head(1).collect().row(0, named=True)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert f"is served at http://127.0.0.1:{port}" in server.stdout.readline()
            wait_until(lambda: is_up(port), 60)
            with urllib.request.urlopen(asked(port, row), timeout=60) as answer:
                (scores,) = json.loads(answer.read())["predictions"]
            assert {*scores} == tasks
            assert all(0 < score < 1 for score in scores.values())
        finally:
            server.terminate()
            assert server.wait(60) == 0


def is_up(port: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def asked(port: str, row: dict[str, Any]) -> urllib.request.Request:
    body = json.dumps({"inputs": [row]}, default=lambda value: value.isoformat()).encode()
    return urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, headers={"Content-Type": "application/json"}
    )


def test_serve_takes_the_champion_of_the_only_config() -> None:
    write_config()
    code, out, err = run("serve", "--port", "0")
    assert (code, out) == (2, "")
    assert "config: shop.toml" in err
    assert "no model `shop` is registered" in err
