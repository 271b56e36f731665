"""The version in service: promoted if it passes the gate, refused if not, rolled back, by one process at a time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import polars as pl
import pytest
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from features.errors import InputError
from jobs.cli import app
from pipeline.data.prepare import prepare
from pipeline.registry import promotion
from pipeline.registry.gate import Check, Decision
from pipeline.registry.model import RegisteredModel
from pipeline.registry.promotion import decide, promote, rollback
from pipeline.registry.register import register_run
from pipeline.runs.run import find_run
from pipeline.serving import model_folder
from pipeline.serving.kinds.network import WEIGHTS
from pipeline.serving.scorer import ARTIFACT
from pipeline.tracking.tracker import Tracker
from tests.pipeline.shop import Shop


def failed(decision: Decision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def test_a_better_version_passes_a_worse_one_does_not_and_there_is_a_way_back(shop: Shop) -> None:
    model = shop.model()
    first = promote(shop.config, shop.prepared, 1)
    assert (first.passed, first.champion, model.aliases) == (True, None, {"champion": 1})
    second = promote(shop.config, shop.prepared, 2)
    assert (second.passed, second.champion, model.aliases) == (True, 1, {"champion": 2, "previous": 1})
    third = promote(shop.config, shop.prepared, 3)
    assert failed(third) == ["AUC of buy", "AUC of wish"]
    assert model.aliases == {"champion": 2, "previous": 1}
    tags = model.version(3).tags
    assert (tags["gate"], tags["gate.champion"], tags["gate.why"]) == ("refused", "2", third.why)
    assert "below version 2" in tags["gate.why"]
    assert "scores: 1198 rows" in tags["gate.checks"]
    evidence = json.loads(mlflow.artifacts.load_text(tags["gate.evidence"]))
    assert [check["name"] for check in evidence["checks"]] == [check.name for check in third.checks]
    assert "| AUC of buy | **no** |" in mlflow.artifacts.load_text(tags["gate.evidence"].replace(".json", ".md"))
    done = rollback("shop", "a complaint")
    assert (done.champion, done.previous, model.aliases) == (1, 2, {"champion": 1, "previous": 2})
    assert model.version(2).tags["rolled_back.why"] == model.version(1).tags["restored.why"] == "a complaint"
    assert model.version(1).tags["replaced.by"] == "2"
    rollback("shop", "it was right")
    assert model.aliases == {"champion": 2, "previous": 1}


def test_the_champion_itself_is_left_alone(shop: Shop) -> None:
    model = shop.model(champion=2)
    before = model.version(2).tags
    decision = promote(shop.config, shop.prepared, 2)
    assert decision.passed
    assert decision.checks[0].found == "version 2 is in service"
    assert (model.aliases, model.version(2).tags) == ({"champion": 2}, before)


def test_an_extra_check_counts(shop: Shop) -> None:
    drift = Check("drift (of ümlauts)", False, "42 % new items", "at most 10 %")
    decision = promote(shop.config, shop.prepared, 2, [drift])
    assert failed(decision) == [drift.name]
    assert shop.model().aliases == {}
    assert "42 % new items" in shop.model().version(2).tags["gate.why"]


def test_judging_alone_changes_nothing(shop: Shop) -> None:
    assert decide(shop.config, shop.prepared, 2).passed
    assert shop.model().aliases == {}
    assert "gate" not in shop.model().version(2).tags


def test_a_run_is_registered_once(shop: Shop) -> None:
    run = find_run(shop.config, shop.prepared)
    assert run is not None
    with Tracker.open(shop.config, shop.prepared) as tracker:
        assert register_run(shop.config, shop.prepared, run, tracker) == 2
    assert [version.number for version in shop.model().versions()] == [1, 2, 3]
    assert shop.model().aliases == {}
    assert float(shop.model().version(2).tags["val.auc.buy"]) == pytest.approx(run.val["buy"]["auc"], abs=1e-6)


def test_raw_rows_that_changed_since_they_were_prepared_are_an_error(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    rows = pl.read_parquet(shop.config.data.train)
    rows.write_parquet(tmp_path / "log" / "part.parquet")
    config = shop.config.changed({"data.train": str(tmp_path / "log"), "data.prepared": tmp_path / "prepared"})
    prepared = prepare(config)
    rows.with_columns(pl.col("price") + 1).write_parquet(tmp_path / "log" / "part.parquet")
    with pytest.raises(InputError, match="has changed since it was prepared"):
        promote(config, prepared, 2)
    rows.drop("price").write_parquet(tmp_path / "log" / "more.parquet")
    with pytest.raises(InputError, match="has 2 files now, but had 1"):
        promote(config, prepared, 2)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda shop: promote(shop.config, shop.prepared, 9), "`shop` has no version 9; it has 1, 2, 3"),
        (lambda shop: rollback("shop", ""), "no version that served before"),
        (lambda shop: rollback("shp", ""), "no model `shp` is registered; did you mean `shop`?"),
        (lambda shop: rollback("other", ""), "`gradops compare` registers models"),
    ],
)
def test_an_impossible_promotion_or_rollback_is_an_error_with_a_fix(
    shop: Shop, act: Callable[[Shop], Any], message: str
) -> None:
    with pytest.raises(InputError) as raised:
        act(shop)
    assert message in str(raised.value)


def test_a_rollback_needs_the_files_of_the_version_before(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    model = shop.model(champion=2, previous=1)
    monkeypatch.setattr(mlflow.artifacts, "list_artifacts", lambda **_: [])
    with pytest.raises(InputError, match=r"files of `shop` version 1 cannot be read at .*its files are missing"):
        rollback("shop", "")
    assert model.aliases == {"champion": 2, "previous": 1}


def filled(value: float) -> Callable[[Path], None]:
    """Give every weight a value of its own sign, and seal the files again."""

    def fill(files: Path) -> None:
        state = load_file(files / WEIGHTS)
        save_file({name: tensor.sign() * value for name, tensor in state.items()}, files / WEIGHTS)
        model_folder.seal(files)

    return fill


SPOILT = {
    "weights that are no numbers": (filled(float("nan")), "weights", "NaN or infinite weights"),
    "scores that are none": (filled(3e38), "scores", "beyond float32"),
    "an older version's files": (lambda files: (files / model_folder.MANIFEST).unlink(), "weights", "no model of ours"),
}


def added(model: RegisteredModel, source: Path) -> int:
    """A version like version 2, except for its files."""
    like = model.version(2)
    return int(model.client.create_model_version("shop", str(source), like.run_id, tags=dict(like.tags)).version)


@pytest.mark.parametrize(("spoil", "check", "message"), SPOILT.values(), ids=SPOILT)
def test_a_version_that_gives_no_scores_is_refused_and_stops_no_other(
    shop: Shop, tmp_path: Path, spoil: Callable[[Path], None], check: str, message: str
) -> None:
    model = shop.model()
    files = Path(mlflow.artifacts.download_artifacts("models:/shop/2", dst_path=str(tmp_path / "files")))
    spoil(files / "artifacts" / ARTIFACT)
    number = added(model, files)
    refused = promote(shop.config, shop.prepared, number)
    assert failed(refused) == [check]
    assert message in refused.why
    assert (model.version(number).tags["gate"], model.aliases) == ("refused", {})
    model.point("champion", number)
    passed = {check.name: check for check in promote(shop.config, shop.prepared, 2).checks}
    assert message in passed["champion"].found
    assert passed["AUC of buy"].rule == "above 0.5 with 95% confidence over all tasks"
    assert model.aliases == {"champion": 2, "previous": number}


def test_a_champion_whose_files_cannot_be_fetched_keeps_its_place(shop: Shop, tmp_path: Path) -> None:
    """The store may only be away, so nothing is known of them."""
    model = shop.model()
    model.point("champion", added(model, tmp_path / "gone"))
    with pytest.raises(InputError, match="files of `shop` version 4 cannot be read"):
        promote(shop.config, shop.prepared, 2)
    assert model.aliases == {"champion": 4}


def test_a_champion_that_changed_while_a_version_was_judged_is_judged_against(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first judgement is against version 1; before it counts, version 2 serves, and that is harder to beat."""
    model, judged = shop.model(champion=1), []

    def meanwhile(*arguments: Any) -> Decision:
        judged.append(model.aliases["champion"])
        decision = decide(*arguments)
        model.point("champion", 2)
        return Decision(**{**vars(decision), "checks": ()}) if len(judged) == 1 else decision

    monkeypatch.setattr(promotion, "decide", meanwhile)
    assert not promote(shop.config, shop.prepared, 3).passed
    assert judged == [1, 2]
    assert model.aliases == {"champion": 2}
    assert model.acquired() is None


def command(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_print_the_decision_and_exit_accordingly(shop: Shop) -> None:
    model = shop.model(champion=1, balanced=2)
    code, out, _ = command("promote", shop.toml, "--dry-run")
    assert (code, model.aliases["champion"]) == (0, 1)
    assert "passed: without --dry-run version 2 would be the champion of shop" in out
    code, out, _ = command("promote", shop.toml)
    assert (code, model.aliases["champion"]) == (0, 2)
    assert "AUC of wish" in out
    assert "passed: version 2 is the champion of shop; version 1 is `previous`" in out
    code, out, _ = command("promote", shop.toml, "--version", "3", "--json")
    data = json.loads(out)
    assert (code, data["passed"], data["champion"], model.aliases["champion"]) == (3, False, 2, 2)
    assert {check["name"] for check in data["checks"] if not check["passed"]} == {"AUC of buy", "AUC of wish"}
    code, out, _ = command("rollback", shop.toml, "--reason", "a complaint")
    assert (code, out) == (0, "version 1 is the champion of shop again; version 2 is `previous`\n")
    code, out, _ = command("rollback", "shop", "--json")
    assert (code, json.loads(out)["champion"], json.loads(out)["reason"]) == (0, 2, "by hand")


def test_a_version_is_chosen_by_the_preference(shop: Shop) -> None:
    """Version 3 has the same AUCs on its own data, but those are not the config's."""
    shop.model(champion=2, fallback=2)
    for way in (["--prefer", "buy=2,wish=1"], ["--at-least", "wish=0.6"], ["--alias", "fallback"]):
        code, out, _ = command("promote", shop.toml, *way)
        assert code == 0
        assert "nothing to do: version 2 is the champion of shop already" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "`shop` has no alias `balanced`; it has `champion`. `--version` takes any version"),
        (["--alias", "best"], "no alias `best`"),
        (["--version", "7"], "no version 7; it has 1, 2, 3"),
        (["--version", "2", "--prefer", "buy=1"], "--version and --prefer or --at-least each choose a version"),
        (["--prefer", "bye=1"], "there is no task `bye`; did you mean `buy`?"),
        (["--at-least", "wish=0.99"], "wish=0.99: the highest is 0."),
    ],
)
def test_wrong_options_of_promote_are_exit_code_2(shop: Shop, options: list[str], message: str) -> None:
    shop.model(champion=1)
    code, _, err = command("promote", shop.toml, *options)
    assert code == 2
    assert message in err
    assert shop.model().aliases == {"champion": 1}
