"""`gradops synth clicklog` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.commands import run

SMALL = ["--rows", "3000", "--days", "2", "--users", "200", "--items", "100"]


def test_it_prints_rates_and_ceilings_and_is_safe_to_repeat() -> None:
    code, out, err = run("synth", "clicklog", *SMALL, "--first-day", "2026-03-01", "--json")
    assert code == 0, err
    printed = json.loads(out)
    assert (printed["rows"], printed["days"], printed["out"]) == (3000, 2, "data/clicklog")
    assert printed["positive_rates"].keys() == printed["ceiling_auc"].keys() == {"purchase", "cart", "wish"}
    assert sorted(p.name for p in Path(printed["truth"]).glob("dt=*")) == ["dt=2026-03-01", "dt=2026-03-02"]
    code, out, _ = run("synth", "clicklog", *SMALL, "--first-day", "2026-03-01")
    assert code == 0
    assert all(word in out for word in ("3000 clicks of 2 day(s)", "best reachable AUC", "wish"))


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_bad_options_are_one_message_and_exit_code_2(as_json: list[str]) -> None:
    code, out, err = run("synth", "clicklog", "--rows", "0", "--days", "-1", "--conflict", "2", *as_json)
    assert (code, out) == (2, "")
    assert "3 problem(s)" in err
    assert all(f"`--{option}`" in err for option in ("rows", "days", "conflict"))
    assert not Path("data").exists()


def test_another_log_in_the_folder_is_exit_code_2() -> None:
    assert run("synth", "clicklog", *SMALL)[0] == 0
    code, _, err = run("synth", "clicklog", *SMALL, "--seed", "1")
    assert code == 2
    assert "holds another log (seed = 0, not 1)" in " ".join(err.split())
