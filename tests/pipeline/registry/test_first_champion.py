"""The first champion passes the gate, or there is none, and then every place says so and what to do."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.comparison.result_file import load_result_file
from pipeline.comparison.summary import summary
from pipeline.config.gate import GateConfig
from pipeline.data.prepare import prepare
from pipeline.registry.gate import Check, relaxed
from pipeline.registry.model import RegisteredModel
from pipeline.registry.promotion import promote, promote_first
from pipeline.tracking.store import connect
from pipeline.training.resolve import load_config
from tests.commands import run
from tests.pipeline.small_shop import shop_log, write, write_config

LEARNT = ("--set", "train.epochs=4", "--set", "train.batch_size=64", "--set", "train.lr=1e-2")
STRICT = ("--set", "gate.min_positives=400", "--set", "gate.calibration=[0.01, 0.02]")


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A shop whose first models do not pass a strict gate, and the last words of its comparison."""
    folder, home = tmp_path_factory.mktemp("refused"), Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        os.chdir(folder)
        write(shop_log())
        write_config()
        code, out, err = run("compare", "shop.toml", *LEARNT, *STRICT)
        assert code == 0, err
        yield folder, out
        os.chdir(home)


@pytest.fixture
def said(refused: tuple[Path, str], tmp_path: Path) -> str:
    """The last words, in a copy of the shop that the test may change."""
    folder, out = refused
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return out


def test_a_refused_first_model_leaves_no_champion_and_the_aliases(said: str) -> None:
    assert set(RegisteredModel("shop").aliases) == {"balanced", "best-purchase", "best-cart"}
    assert "champion →" not in said
    version = RegisteredModel("shop").version(1)
    assert version.tags["gate"] == "refused"
    assert version.tags["gate.champion"] == "none"


def test_the_last_lines_say_which_check_failed_and_the_command_that_serves_it_all_the_same(said: str) -> None:
    *_, why, command = said.splitlines()
    assert why.startswith("no champion: version 1 (`balanced`) does not pass the gate: labels of purchase: ")
    assert "(at least 400 positives and 100 negatives)" in why
    assert "calibration of cart: " in why
    arguments = shlex.split(command.removeprefix("to serve version 1 all the same: "))
    assert arguments[:5] == ["gradops", "promote", "shop.toml", "--version", "1"]
    code, out, _ = run(*arguments[1:])
    assert code == 0, out
    assert RegisteredModel("shop").aliases["champion"] == 1
    # Once a version serves, nothing is said of it any more, and the page forgets it, too.
    code, out, _ = run("compare", "shop.toml", *LEARNT, *STRICT, "--json")
    printed = json.loads(out)
    assert (code, printed["aliases"]["champion"]) == (0, 1)
    assert not [verdict for verdict in printed["verdicts"] if "champion" in verdict or "all the same" in verdict]
    assert json.loads(Path(printed["file"]).read_text())["verdicts"] == printed["verdicts"]


def test_page_result_file_and_mlflow_say_it_too(said: str) -> None:
    (path,) = Path("runs/comparisons").glob("*.json")
    first, *warnings, verdict = json.loads(path.read_text())["verdicts"]
    assert verdict in said
    assert f"**{first}**" in path.with_suffix(".md").read_text()
    assert f"\n- {verdict}" in path.with_suffix(".md").read_text()
    (parent,) = connect().search_runs(
        ["1"], f"tags.`gradops.fingerprint` = '{json.loads(path.read_text())['fingerprint']}'"
    )
    assert parent.data.tags["gradops.verdicts"] == "\n".join([first, *warnings, verdict])
    code, _, err = run("report", "shop.toml", *LEARNT, "--json")
    assert code == 0, err
    (page,) = Path("runs").rglob("*.html")
    assert "no champion: version 1 (<code>balanced</code>) does not pass the gate" in page.read_text()


def test_a_first_model_that_passes_serves_without_a_word(said: str) -> None:
    code, out, _ = run("compare", "shop.toml", *LEARNT)
    assert code == 0
    assert "champion → version 1" in out
    assert "no champion" not in out
    assert RegisteredModel("shop").version(1).tags["gate"] == "passed"


def test_a_model_that_no_key_lets_pass_is_named_without_a_way_around(said: str) -> None:
    """Eight steps: its AUC is not above one half."""
    _, out, _ = run("compare", "shop.toml", "--methods", "uniform", "--json")
    *_, why, command = json.loads(out)["verdicts"]
    assert "AUC of purchase: 0.4" in why
    assert command.startswith("no key of [gate] lets it pass; once that is mended, judge it again: gradops promote")
    assert run(*shlex.split(command.partition(": gradops ")[2]))[0] == 3


@pytest.mark.slow
def test_a_search_without_a_champion_says_so(said: str) -> None:
    code, out, err = run("search", "shop.toml", "--trials", "1", "--methods", "x")
    assert code == 2, "an unknown option is nothing to do with it"
    code, out, err = run("search", "shop.toml", *LEARNT, *STRICT, "--set", "search.trials=1")
    assert code == 0, err
    assert "no champion: version " in out.splitlines()[-2]
    (path,) = Path("runs/studies").glob("*.json")
    assert json.loads(path.read_text())["verdicts"][-1] == out.splitlines()[-2]
    (parent,) = connect().search_runs(
        ["1"], f"tags.`gradops.fingerprint` = '{json.loads(path.read_text())['fingerprint']}'"
    )
    assert parent.data.tags["gradops.verdicts"].splitlines()[-1] == out.splitlines()[-2]


def test_commands_that_need_a_champion_say_how_to_get_one(said: str) -> None:
    code, _, err = run("score", "logs", "scores", "--model", "models:/shop@champion")
    message = " ".join(err.split())
    assert code == 2
    assert "`shop` has no alias `champion`; it has `balanced`, `best-cart`, `best-purchase`" in message
    assert "`gradops promote CONFIG` judges a version and makes it the champion" in message
    code, _, err = run("rollback", "shop.toml")
    assert code == 2
    assert "`shop` has no version that served before" in " ".join(err.split())
    assert run("score", "logs", "scores", "--model", "models:/shop@balanced")[0] == 0


def test_rows_that_have_changed_since_they_were_prepared_do_not_end_a_comparison(said: str) -> None:
    config = load_config(Path("shop.toml"), list(LEARNT[1::2]))
    prepared = prepare(config)
    write(shop_log().with_columns(pl.col("price") + 1))
    decision = promote_first(config, prepared, 1)
    assert decision is not None
    assert not decision.passed
    assert "has changed since it was prepared" in decision.why
    assert relaxed(decision.checks, config.gate) is None


def test_a_champion_that_is_there_is_not_judged_again(said: str) -> None:
    config = load_config(Path("shop.toml"), list(LEARNT[1::2]))
    assert promote(config, prepare(config), 1).passed
    before = RegisteredModel("shop").version(1).tags
    assert promote_first(config, prepare(config), 1) is None
    assert RegisteredModel("shop").version(1).tags == before


@pytest.mark.parametrize(
    ("limits", "changes"),
    [
        ([], []),
        ([{"min_positives": 32.0}], ["gate.min_positives=32"]),
        ([{"min_positives": 32.0}, {"min_positives": 9.0, "min_negatives": 50.0}],
         ["gate.min_positives=9", "gate.min_negatives=50"]),
        ([{"calibration": 0.618}], ["gate.calibration=[0.61, 1.25]"]),
        ([{"calibration": 0.618}, {"calibration": 1.3301}], ["gate.calibration=[0.61, 1.34]"]),
        ([{"calibration": 2.0}, {}], None),
    ],
)  # fmt: skip
def test_the_narrowest_rules_that_let_a_model_pass(limits: list[dict[str, float]], changes: list[str] | None) -> None:
    checks = [Check(f"check {i}", False, "found", "rule", limit) for i, limit in enumerate(limits)]
    assert relaxed([Check("fine", True, "found", "rule"), *checks], GateConfig()) == changes


def test_the_card_of_each_version_has_the_summary(said: str) -> None:
    (path,) = Path("runs/comparisons").glob("*.json")
    file = load_result_file(path)
    effect, serve = summary(file)
    client, model = connect(), RegisteredModel("shop")
    for version in model.versions():
        card = client.get_model_version("shop", str(version.number)).description or ""
        first, *paragraphs = card.split("\n\n")
        assert first.startswith(f"{version.tags['method']}, seed 0: test AUC purchase ")
        assert f"**Choosing** {effect} {serve}" in paragraphs
        assert f"- {file.verdicts[0]}" in card
        assert f"train {file.rows['train']:,}" in card
        assert version.tags["gradops.summary"] == f"{effect} {serve}"
