"""Twenty mistakes with the small shop's log, each made as a user makes it: what the command then says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest

from features.errors import InputError
from pipeline.data.prepare import prepare
from pipeline.serving.requests import Limits, read_request
from pipeline.training.resolve import load_config
from tests.commands import run
from tests.pipeline.small_shop import TOML, shop_log, write, write_config

PREPARE = ("prepare", "shop.toml")
_DAYS = 'key = "click_id"\nvalidation = 0.2\ntest = 0.2'
_HOUR = '{ kind = "time", column = "ts", part = "hour" }'


def _said(*arguments: str) -> str:
    """What a command that fails says, with the folder of this test as a user's."""
    code, out, err = run(*arguments)
    assert code == 2
    assert not out.strip()
    lines = [line for line in err.splitlines() if not line.startswith(("1 network needs", "config: "))]
    return "\n".join(lines).replace(str(Path.cwd()), "/home/me/shop")


def _config(features: Mapping[str, str] | None = None, changes: Mapping[str, str] | None = None) -> Callable[[], str]:
    """A mistake in the config."""

    def make() -> str:
        write_config(features, changes)
        return _said(*PREPARE)

    return make


def _rows(
    change: Callable[[pl.DataFrame], pl.DataFrame], features: Mapping[str, str] | None = None
) -> Callable[[], str]:
    """A mistake in the rows."""

    def make() -> str:
        write(change(shop_log()))
        write_config(features)
        return _said(*PREPARE)

    return make


def _csv() -> str:
    shop_log().select("click_id", "item_id", "bought").write_csv("clicks.csv")
    write_config(None, {'"logs"': '"clicks.csv"'})
    return _said(*PREPARE)


def _cut_off() -> str:
    path = Path("logs/part-0.parquet")
    path.write_bytes(path.read_bytes()[:9000])
    write_config()
    return _said(*PREPARE)


def _copied() -> str:
    write(shop_log(), "logs/part-0 (copy).parquet")
    write_config()
    return _said(*PREPARE)


def _another_type() -> str:
    write(shop_log(seed=1).with_columns(pl.col("price").cast(pl.String)), "logs/part-1.parquet")
    write_config()
    return _said(*PREPARE)


def _utf_16() -> str:
    Path("shop.toml").write_bytes(TOML.encode("utf-16"))
    return _said(*PREPARE)


def _old_store() -> str:
    write_config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
        return _said("train", "shop.toml")


def _not_registered() -> str:
    return _said("score", "--model", "models:/shop@champion", "logs", "scores")


def _request() -> str:
    write_config()
    encoder = prepare(load_config(Path("shop.toml"))).encoder()
    columns = [column for name in encoder.spec.features for column in encoder.spec.columns(name)]
    body = {"inputs": [{"item": 7, "country": "NL", "price": "12.50"}]}
    with pytest.raises(InputError) as error:
        encoder.encode_features(read_request(json.dumps(body).encode(), columns, Limits()).rows.frame().lazy())
    return str(error.value)


# The heading in docs/mistakes.md to what the command says.
MISTAKES: dict[str, Callable[[], str]] = {
    "The folder's name is misspelt": _config(None, {'"logs"': '"log"'}),
    "The rows are CSV": _csv,
    "The rows are in an object store": _config(None, {'"logs"': '"s3://shop/logs"'}),
    "A file was cut off while it was copied": _cut_off,
    "A file is there twice": _copied,
    "A day's file has another type": _another_type,
    "A column's name is misspelt": _config({"prize": '{ kind = "numeric" }'}),
    "A price is declared as a category": _config({"price_band": '{ kind = "categorical", column = "price" }'}),
    "Times are numbers": _rows(lambda rows: rows.with_columns(pl.col("ts").dt.epoch("ms")), {"hour": _HOUR}),
    "A column has no value in the training rows": _rows(
        lambda rows: rows.with_columns(channel=pl.lit(None, pl.String)), {"channel": '{ kind = "categorical" }'}
    ),
    "The label is text": _rows(lambda rows: rows.with_columns(pl.col("bought").cast(pl.String))),
    "The label has a third value": _rows(
        lambda rows: rows.with_columns(bought=pl.when(pl.col("click_id") % 10 == 0).then(2).otherwise("bought"))
    ),
    "A feature knows the answer": _rows(
        lambda rows: rows.with_columns(refund=pl.col("bought") * pl.col("price")), {"refund": '{ kind = "numeric" }'}
    ),
    "A key is misspelt, another in the wrong section": _config(
        None, {"epochs = 1\n": "epoch = 1\n", "validation": "patience = 2\nvalidation"}
    ),
    "The kind of a feature is misspelt": _config(None, {'"numeric"': '"numerc"'}),
    "The config was saved by Notepad as Unicode": _utf_16,
    "The days of the split are not in the log": _config(
        None, {_DAYS: 'time = "ts"\nvalidation = 2026-02-01\ntest = 2026-02-02'}
    ),
    "MLflow's store is a folder of files": _old_store,
    "The model is not registered": _not_registered,
    "A request lacks a column": _request,
}
