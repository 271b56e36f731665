"""Ray on two hosts: a link is cut and mended, a host loses its power, and the prepared bytes are one process's."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline.data.prepare import prepare
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.hosts.network import LONG, Host, printed, typed, until
from tests.pipeline.small_shop import shop_log, write, write_config

pytestmark = pytest.mark.slow
FILES = 60
ENVIRONMENT = {"PYTHONPATH": str(ROOT), "RAY_AUTH_TOKEN": "0" * 64, "RAY_USAGE_STATS_ENABLED": "0"}


def digests(folder: Path) -> dict[str, str]:
    return {f"{p.parent.name}/{p.name}": hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.parquet")}


def test_prepare_ends_with_the_same_bytes_after_a_cut_and_without_a_host(
    tmp_path: Path, hosts: tuple[Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    monkeypatch.chdir(shop)
    for number in range(FILES):
        rows = shop_log(2000, seed=number).with_columns(pl.col("click_id") + 2000 * number)
        write(rows, f"logs/part-{number:03}.parquet")
    write_config(changes={'train = "logs"': 'train = "logs"\nprepared = "by-ray"'})
    first, second = hosts
    lines = typed("ray start").replace("first:", f"{first.address}:").splitlines()
    everywhere, head, others, command = (line for line in lines if line and "pip install" not in line)
    for host, line in ((first, head), (second, others)):
        begun = f"{everywhere}\n{line.partition('#')[0]} --num-cpus 1"  # both hosts have the same cores here
        assert host.start(begun, shop, ENVIRONMENT, shop / f"{host.name}.log").wait(LONG) == 0, printed(shop)
    at_work = first.start(
        f"{everywhere}\n{command.replace('/shared/shop', str(shop))}", shop, ENVIRONMENT, shop / "prepare.log"
    )
    until(lambda: at_work.poll() is not None or len(encoded(shop)) >= 3, LONG)
    second.cut()
    time.sleep(4)
    second.mend()
    seen = len(encoded(shop))
    until(lambda: at_work.poll() is not None or len(encoded(shop)) >= seen + 3, LONG)
    assert at_work.poll() is None, printed(shop)
    second.kill()
    assert at_work.wait(LONG) == 0, printed(shop)
    alone = prepare(load_config(Path("shop.toml"), ["data.prepared=alone"]))
    assert digests(Path("by-ray")) == digests(alone.folder)


def encoded(shop: Path) -> list[Path]:
    """The chunks that are encoded so far."""
    return [*shop.glob("by-ray/**/train/*.parquet")]
