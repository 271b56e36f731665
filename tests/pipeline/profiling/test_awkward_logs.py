"""Awkward logs: a draft that prepares, or one message that says what to do."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.data.prepare import prepare
from pipeline.training.resolve import load_config
from tests.commands import run
from tests.pipeline.profiling.awkward_logs import LABELS, prepared_logs, refused_logs, wide_log
from tests.pipeline.small_shop import write

PREPARED, REFUSED = prepared_logs(), refused_logs()
RENAMED = {"names are Cyrillic": "куплено", "names are words of SQL": "select"}
# The others take as long again together, and fail for the same reasons.
QUICK = ("everything is text", "names are Cyrillic", "columns know the answer", "types are rare")


def draft(labels: tuple[str, ...]) -> tuple[int, str]:
    """Write `shop.toml` for `logs`; the exit code and all that is printed."""
    options = [part for label in labels for part in ("--label", label)]
    code, out, err = run("init", "logs", *options, "--yes", "--out", "shop.toml")
    return code, out + err


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PREPARED]
)
def test_the_draft_of_an_awkward_log_prepares(name: str) -> None:
    write(PREPARED[name])
    code, said = draft((RENAMED.get(name, LABELS[0]), LABELS[1]))
    assert code == 0, said
    prepared = prepare(load_config(Path("shop.toml")))
    assert sum(prepared.rows.values()) == PREPARED[name].height
    spec = tomllib.loads(Path("shop.toml").read_text())["spec"]
    read = {f.get("column", name) for name, f in spec["features"].items()} | {*spec["excluded"]}
    labels = {RENAMED.get(name, LABELS[0]), LABELS[1]}
    read |= {c for f in spec["features"].values() for c in (*f.get("columns", ()), f.get("until"))}
    assert {*PREPARED[name].columns} - labels <= read, "every column is a feature or left out with a reason"


@pytest.mark.slow  # preparing them takes minutes, drafting a quarter of one
def test_two_thousand_columns_are_drafted() -> None:
    write(wide_log(2000))
    code, said = draft(LABELS)
    assert code == 0, said
    config = load_config(Path("shop.toml"))
    assert sum(name.startswith("f") for name in config.spec.features) == 2000


@pytest.mark.parametrize("name", REFUSED)
def test_a_log_that_cannot_be_trained_on_is_told_in_one_message(name: str) -> None:
    rows, words = REFUSED[name]
    write(rows)
    code, said = draft(LABELS)
    assert code == 2
    assert words in said
    assert not Path("shop.toml").exists()
