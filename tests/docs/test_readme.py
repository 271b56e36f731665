"""The README's five commands, typed as they stand there, from a CSV to an answered request."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.commands import run, wait_until
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.mark.slow  # a search
def test_the_readmes_commands_lead_from_a_csv_to_an_answered_request() -> None:
    log = shop_log(2000).rename({"bought": "purchase", "carted": "cart"})
    log.with_columns(pl.col("tags").cast(pl.List(pl.String)).list.join("|")).write_csv("clicks.csv")
    port = free_port()
    # The only additions: less time than a reader would give, and a port that is free here.
    added = {"search": ["--budget", "1m", "--workers", "1"], "serve": ["--port", str(port)]}
    said = ""
    for _, command, *rest in commands():
        words = [sys.executable, "-m", "jobs", command, *rest, *added.get(command, [])]
        if command == "serve":
            row = log.drop("purchase", "cart").with_columns(tags=pl.lit("1|2"), ts=pl.col("ts").dt.to_string("iso"))
            assert_answers(words, port, row.row(0, named=True))
            continue
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if "the budget of 1m was over with" in done.stderr:  # a machine that is busy with other things
            assert "the same command with a larger `--budget` goes on" in done.stderr
            done = subprocess.run([*words, "--budget", "5m"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        said += done.stdout
    assert "logs.toml: 2 task(s)" in said
    assert list(Path("runs/studies").glob("*.html"))


def assert_answers(words: list[str], port: int, row: dict[str, Any]) -> None:
    """A server that a command starts says where it listens, scores a row, and ends in order."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert f"is served at http://127.0.0.1:{port}" in server.stdout.readline()
            wait_until(lambda: is_up(port), 60)
            with urllib.request.urlopen(asked(port, row), timeout=60) as answer:
                (scores,) = json.loads(answer.read())["predictions"]
            assert {*scores} == {"purchase", "cart"}
            assert all(0 < score < 1 for score in scores.values())
        finally:
            server.terminate()
            assert server.wait(60) == 0


def is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def asked(port: int, row: dict[str, Any]) -> urllib.request.Request:
    body = json.dumps({"inputs": [row]}).encode()
    return urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", body, headers={"Content-Type": "application/json"}
    )


def test_serve_takes_the_champion_of_the_only_config() -> None:
    write_config()
    code, out, err = run("serve", "--port", "0")
    assert (code, out) == (2, "")
    assert "config: shop.toml" in err
    assert "no model `shop` is registered" in err
