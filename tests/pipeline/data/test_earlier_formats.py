"""Data of format 5, made before values had names by a second rule: still found, still grown, by its own rule."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest

from features.transforms import FIRST_KNOWN, OUT_OF_VOCABULARY
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.files.atomic import fingerprint
from tests.conftest import vocabularies
from tests.pipeline.data.growing_shop import CONFIG, config, write_day


def of_format_5(made: Prepared) -> Prepared:
    """The same data as it was made before: its encoder has no rule, its fingerprint is of another format."""
    content = json.loads((made.folder / "encoder" / "encoder.json").read_text())
    assert content.pop("naming") == 2
    (made.folder / "encoder" / "encoder.json").write_text(json.dumps(content))
    manifest = made.manifest | {"format": 5}
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    inputs = {key: manifest[key] for key in ("format", "spec", "split", "sources")}
    folder = made.folder.with_name(fingerprint(inputs))
    made.folder.rename(folder)
    return Prepared(folder, manifest)


@pytest.fixture
def before() -> Prepared:
    Path("shop.toml").write_text(CONFIG)
    for number in (1, 2, 3, 4):
        write_day(number)
    return of_format_5(prepare(config(3)))


def write_numbers(number: int) -> None:
    """A day whose items are told in other spellings."""
    write_day(number)
    path = Path(f"log/dt=2026-01-0{number}/part-0.parquet")
    items = pl.Series(["item-20", "7", "7.0", "true", "1"] * 12)
    pl.read_parquet(path).with_columns(item=items).write_parquet(path)


@pytest.mark.parametrize("grow", ["true", "false"])
def test_it_is_found_as_it_is(before: Prepared, grow: str) -> None:
    assert prepare(config(3, f"data.grow={grow}")).folder == before.folder
    assert [found.folder for found in Prepared.all(Path("prepared"))] == [before.folder]


def test_what_grows_from_it_keeps_its_rule_and_its_ids(before: Prepared) -> None:
    shutil.rmtree("log/dt=2026-01-03")
    write_numbers(3)
    write_day(5)
    second = prepare(config(4))
    assert second.manifest["grown_from"] == before.fingerprint
    assert second.manifest["format"] == 6
    known = vocabularies(second.encoder())["item"]
    assert known[: len(vocabularies(before.encoder())["item"])] == vocabularies(before.encoder())["item"]
    assert {"7", "7.0", "true", "1"} <= set(known)
    write_day(6)
    third = prepare(config(5))
    assert third.manifest["grown_from"] == second.fingerprint
    assert third.encoder().naming == second.encoder().naming == before.encoder().naming == 1
    rows = pl.LazyFrame({"item": ["7.0", "8.0"], "price": [1.0, 1.0]})
    ids = third.encoder().encode_features(rows).collect().get_column("id.item").to_list()
    assert ids == [FIRST_KNOWN + known.index("7.0"), OUT_OF_VOCABULARY]


def test_a_new_beginning_has_the_newest_rule(before: Prepared) -> None:
    shutil.rmtree("log/dt=2026-01-02")
    write_numbers(2)
    new = prepare(config(3, "data.grow=false"))
    assert new.encoder().naming == 2
    assert {"7", "1"} <= set(vocabularies(new.encoder())["item"])
    assert not {"7.0", "true"} & set(vocabularies(new.encoder())["item"])
