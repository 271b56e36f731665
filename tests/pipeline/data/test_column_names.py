"""A user's columns may have any names, those that our own code gives to columns of its own included."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import polars.testing
import pytest

from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.training.resolve import load_config
from tests.pipeline.small_shop import shop_log, write

COLUMNS = ("click_id", "user_id", "item_id", "country", "price", "ts", "tags", "bought", "carted")
NAMES = (
    *("row", "entry", "value", "place", "length", "begin", "count", "first", "last"),
    *("key 0", "hash", "role", "rows", "group", "label", "len", "n", "literal"),
    *("id", "id.item", "value.price", "label.cart", "__role", "0", "%", "index", "split"),
    *("low", "high", "numbers", "train", "column_0", "element", "time", "known", 'a"b'),
)
TOML = """
name = "shop"
[data]
train = "logs/part-0.parquet"
prepared = "{folder}"
[split]
key = "{user_id}"
validation = 0.2
test = 0.2
[contract]
unique = ["{click_id}", "{ts}"]
[spec]
excluded = ["{click_id}"]
group = "{user_id}"
[spec.features]
item = {{ kind = "categorical", column = "{item_id}" }}
pair = {{ kind = "cross", columns = ["{country}", "{item_id}"], buckets = 50 }}
price = {{ kind = "numeric", column = "{price}", buckets = 8, range = [0, 1e6], required = true }}
hour = {{ kind = "time", column = "{ts}", part = "hour" }}
wait = {{ kind = "numeric", column = "{ts}", until = "{ts}", buckets = 0 }}
tags = {{ kind = "multi_hot", column = "{tags}", max_length = 2 }}
shared = {{ kind = "multi_hot", column = "{tags}", table = "tags_too", buckets = 9 }}
[spec.tasks]
purchase = {{ positive = '"{bought}" = 1', sample_weight = "{user_id}" }}
cart = {{ positive = '"{carted}" = 1' }}
"""


def prepared(names: dict[str, str], folder: str) -> Prepared:
    write(shop_log().rename(names))
    quoted = {
        column: name.replace('"', '""') if column in ("bought", "carted") else name.replace('"', '\\"')
        for column, name in names.items()
    }
    Path("shop.toml").write_text(TOML.format(folder=folder, **quoted))
    return prepare(load_config(Path("shop.toml"), []))


def content(found: Prepared) -> dict[str, pl.DataFrame]:
    return {split: pl.read_parquet(found.folder / split) for split in ("train", "val", "test")}


@pytest.mark.parametrize(
    "names", [NAMES[i : i + len(COLUMNS)] for i in range(0, len(NAMES), len(COLUMNS))], ids=lambda names: names[0]
)
def test_columns_of_any_name_are_prepared_as_with_their_own(names: tuple[str, ...]) -> None:
    own = content(prepared({column: column for column in COLUMNS}, "own"))
    for shift in (0, 4):
        renamed = content(
            prepared(dict(zip(COLUMNS, (*names[shift:], *names[:shift]), strict=True)), f"renamed {shift}")
        )
        for split, frame in own.items():
            pl.testing.assert_frame_equal(renamed[split], frame)
