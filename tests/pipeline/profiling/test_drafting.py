"""What a draft chooses, and the evidence that it gives."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import jobs.init
from features.errors import InputError
from jobs.questions import TerminalAsker
from pipeline.profiling.column import Column
from pipeline.profiling.draft import Draft
from pipeline.profiling.drafting import draft
from pipeline.profiling.pairs import find_pairs
from pipeline.profiling.questions import Guesses
from pipeline.profiling.rendering import rendered, toml_value
from pipeline.profiling.training import choose_training
from pipeline.profiling.wishes import Wishes
from pipeline.sources.clicklog import Options, generate
from tests.commands import run
from tests.pipeline.profiling.awkward_logs import german
from tests.pipeline.small_shop import shop_log, write

LABELS = ("bought", "carted")


def drafted(**wishes: Any) -> Draft:
    return draft("logs", Wishes(**{"labels": LABELS, **wishes}), Guesses())


def reasons(found: Draft) -> dict[str, str]:
    return {one.column: one.reason for one in found.excluded}


def test_the_draft_of_the_small_shop_has_every_choice_with_its_evidence() -> None:
    write(shop_log())
    found = drafted()
    assert found.config()["split"] == {"time": "ts", "validation": 0.1, "test": 0.1}
    assert reasons(found) == {"click_id": "identifies a row: 3,000 distinct in 3,000 rows"}
    assert found.unique == ("click_id", "3,000 distinct in 3,000 rows: no row is there twice")
    assert found.group == (
        "user_id",
        "GAUC, the mean of the AUCs within each of its values: 15.1 rows each in 3,000 rows",
    )
    features = {name: found.keys_of(name) for name in found.features}
    assert features["item_id"] == {"kind": "categorical"}
    assert features["hour"] == {"kind": "time", "column": "ts", "part": "hour"}
    assert features["price"] == {"kind": "numeric"}
    assert features["tags"]["kind"] == "multi_hot"
    assert "weekday" not in features, "training rows span less than a week"
    positives = shop_log()["bought"].sum()
    assert found.labels[0].evidence == f"{positives:,} positives in 3,000 rows ({positives / 3000:.2%})"
    assert tomllib.loads(rendered(found, "gradops init logs")) == found.config() | {
        "compare": {"methods": ["uniform", "gradops(alpha=-1)"]}
    }


def test_what_may_give_a_label_away_is_left_out_and_said() -> None:
    log = shop_log()
    after = log.with_columns(
        order_value=pl.col("bought") * 7,
        seen_again=pl.col("ts") + pl.duration(hours=pl.col("click_id") % 9),
        basket=pl.col("carted") * 3 + pl.col("click_id") // 7 % 2,
        user_prior_buys=pl.col("user_id") % 3,
        step=pl.col("click_id") // 2,
    )
    write(after)
    found = drafted()
    left = reasons(found)
    assert left["order_value"].startswith("named like something that came of the row")
    assert left["seen_again"] == "later than `ts` in 89% of its rows: it was written after the row's event"
    assert left["basket"].startswith("alone it has an AUC of 1.000 on `carted`")
    assert left["step"].startswith("it rises with time: 100% of the test rows")
    assert "user_prior_buys" in found.features
    assert [text.partition(" ")[0] for text in found.to_look_at] == ["order_value", "seen_again", "basket"]
    assert "order_value" in reasons(drafted(keep=("order_value",))), "it leaks all the same"
    kept = drafted(labels=("carted",), keep=("bought",))
    assert "bought" in kept.features
    assert reasons(drafted(labels=("carted",)))["bought"].startswith("named like something that came of the row")


def test_the_time_of_a_click_is_that_of_the_row_unless_some_rows_have_none() -> None:
    log = shop_log(600).rename({"ts": "clicked_at"})
    write(log)
    found = drafted()
    assert found.config()["split"]["time"] == "clicked_at"
    assert found.keys_of("hour")["column"] == "clicked_at"
    write(log.with_columns(clicked_at=pl.when(pl.col("click_id") % 3 > 0).then("clicked_at")))
    assert reasons(drafted())["clicked_at"].startswith("named like something that came of the row")


def test_days_of_folders_split_a_log_with_folders() -> None:
    generate(Options(rows=7000, users=300, items=5000), Path("logs"))
    found = drafted(labels=("purchase", "cart"), exclude=("wish",))
    assert {key: str(value) for key, value in found.config()["split"].items()} == {
        "time": "timestamp",
        "validation": "2026-01-06",
        "test": "2026-01-07",
    }
    lists = {name: found.keys_of(name) for name in ("interests", "category", "recent_categories")}
    assert lists["interests"]["weights"] == "interest_weights"
    assert lists["category"]["table"] == lists["recent_categories"]["table"] == "category_values"
    assert reasons(found)["wish"] == "left out by --exclude"
    Path("logs/dt=2026-01-03").rename("logs/.other")
    again = drafted(labels=("purchase", "cart"))
    assert again.config()["contract"]["empty_days"] is True
    assert again.day_gap == "1 day(s) between the first and the last have no file"


def test_folders_that_are_no_days_become_columns_and_files_may_differ_in_what_nobody_needs() -> None:
    log = shop_log()
    for place in (7, 12):
        rows = log.filter(pl.col("click_id") % 2 == place % 2)
        rows = rows.with_columns(only=pl.lit(1)) if place == 7 else rows.with_columns(pl.col("price").cast(pl.String))
        write(rows, f"logs/shop={place}/a.parquet")
    found = drafted()
    assert found.config()["data"] == {"train": "logs", "partitions": {"shop": "integer"}}
    assert reasons(found)["only"] == "1 of 2 files have no such column"
    assert reasons(found)["price"].startswith("its types cannot be united: ")


def test_times_that_are_text_are_features_and_the_split_says_why_it_is_by_a_key() -> None:
    write(shop_log(600).with_columns(pl.col("ts").dt.to_string("iso:strict")))
    found = drafted()
    assert found.config()["split"]["key"] == "user_id"
    command = "`gradops import logs FOLDER --type ts=time` makes times"
    assert found.split.evidence.startswith("`ts` has times that cannot split, as '2026-01-01T00:00:00")
    assert command in found.split.evidence
    assert found.keys_of("hour") == {"kind": "time", "column": "ts", "part": "hour"}


def test_numbers_and_times_in_another_notation_are_left_out_with_the_command_that_reads_them() -> None:
    log = shop_log(600).with_columns(day=pl.col("ts").dt.to_string("%Y%m%d").cast(pl.Int64))
    write(german(log))
    found = drafted()
    left = reasons(found)
    time = "as '01.01.2026 00:00': `gradops import logs FOLDER --type 'ts=%d.%m.%Y %H:%M'` makes times"
    assert left["ts"] == f"times in a notation that is not read, {time}"
    assert left["price"].startswith("numbers as text with a decimal comma, as '")
    assert left["price"].endswith("make it a number: `gradops import logs FOLDER --type price=comma`")
    assert "--type day=%Y%m%d" in left["day"]
    assert found.split.evidence.startswith(f"`ts` has times that cannot split, {time}; by a hash of")
    assert {text.partition(" ")[0] for text in found.to_look_at} == {"ts", "price", "day"}


def test_numbers_among_marks_of_missing_ones_are_no_categories() -> None:
    log = shop_log(600)
    price = pl.when(pl.col("click_id") % 5 > 0).then(pl.col("price").cast(pl.String)).otherwise(pl.lit("n/a"))
    write(log.with_columns(price))
    said = "numbers as text but for 1 of 481 values, as 'n/a'; if that means missing: "
    command = "gradops import logs FOLDER --type price=number --null n/a"
    assert reasons(drafted())["price"] == f"{said}`{command}`"
    assert run(*command.replace("FOLDER", "again").split()[1:])[0] == 0
    assert draft("again", Wishes(labels=LABELS), Guesses()).keys_of("price")["kind"] == "numeric"


@pytest.mark.parametrize(
    ("rows", "has_hashes", "epochs", "batch"),
    [
        (1_000_000, True, 1, 2048),
        (75_529, True, 1, 128),
        (75_529, False, 3, 128),
        (9_000, True, 8, 128),
        (1, False, 8, 128),
    ],
)
def test_training_is_one_pass_where_a_second_one_would_learn_ids_by_heart(
    rows: int, has_hashes: bool, epochs: int, batch: int
) -> None:
    chosen = choose_training(rows, has_hashes=has_hashes)
    assert (chosen.train["epochs"], chosen.train["batch_size"]) == (epochs, batch)


def test_pairs_are_found_where_they_matter_and_nowhere_else() -> None:
    generator, rows = np.random.default_rng(0), 40_000
    codes = generator.integers(0, [6, 6, 6, 30], (rows, 4))
    effects = generator.normal(0, 1.5, (6, 6))
    alone = generator.normal(0, 1.0, 6)[codes[:, 2]] + generator.normal(0, 1.0, 30)[codes[:, 3]]
    columns = [Column(pl.Series(name, codes[:, n])) for n, name in enumerate("abcd")]
    label_by_task = {}
    for task, logit in (("paired", effects[codes[:, 0], codes[:, 1]] + alone), ("alone", alone)):
        label_by_task[task] = (generator.random(rows) < 1 / (1 + np.exp(2 - logit))).astype(float)
    (pair,) = find_pairs(columns, label_by_task)
    assert (pair.columns, pair.task, pair.cells) == (("a", "b"), "paired", 49), "null is a value of each"
    assert find_pairs(columns, {"alone": label_by_task["alone"]}) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('a "b" \\ c', '"a \\"b\\" \\\\ c"'),
        (True, "true"),
        (100_000, "100_000"),
        ({"цена x": [1, "y\n"]}, '{ "цена x" = [1, "y\\n"] }'),
    ],
)
def test_values_are_written_as_toml_reads_them(value: Any, text: str) -> None:
    assert toml_value(value) == text
    assert tomllib.loads(f"a = {text}")["a"] == value


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"labels": ("x=price + 1",)}, "`price + 1` is neither true nor false: compare it"),
        ({"labels": ("x=AVG(price) > 1",)}, "`AVG` needs more than a row"),
        ({"labels": ("x=1 = 1",)}, "`1 = 1` reads no column"),
        ({"time": "price"}, "--time price: the time of a row's event is a date"),
        ({"time": "tz", "group": "usr_id"}, "--group usr_id: there is no such column; did you mean `user_id`?"),
        ({"group": "tags"}, "--group tags holds List"),
        ({"labels": ()}, "columns of two values are bought, carted: give `--label COLUMN`"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_told(wishes: dict[str, Any], message: str) -> None:
    write(shop_log(300))
    asker = Guesses() if wishes.get("labels") != () else jobs.init._asker(yes=False)
    with pytest.raises(InputError) as error:
        draft("logs", Wishes(**{"labels": LABELS, **wishes}), asker)
    assert message in str(error.value)


def test_a_terminal_is_asked_and_an_existing_file_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    write(shop_log(600).with_columns(refund=pl.col("item_id") % 5, updated_at=pl.col("ts")))
    said = iter(["1, carted", "9", "ts"])
    monkeypatch.setattr("typer.prompt", lambda *_, **__: next(said))
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    monkeypatch.setattr(jobs.init, "_asker", lambda **_: TerminalAsker())
    code, _, err = run("init", "logs", "--out", "shop.toml")
    assert code == 0, err
    assert "  1  bought" in err
    assert "`9` is none of them" in err
    text = Path("shop.toml").read_text()
    content = tomllib.loads(text)
    assert [*content["spec"]["tasks"]] == ["bought", "carted"]
    assert content["split"]["time"] == "ts"
    assert "refund" in content["spec"]["features"]
    code, _, err = run("init", "logs", "--yes", "--out", "shop.toml")
    assert code == 2
    assert "shop.toml exists and is not overwritten" in err
    assert Path("shop.toml").read_text() == text
