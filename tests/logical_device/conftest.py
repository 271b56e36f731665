"""A small shop's data: few tables, of two widths, bags of several entries, so that a step has few operations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.training.resolve import load_config
from tests.pipeline.small_shop import TOML, shop_log, write

FEATURES = """
country = { kind = "categorical", width = 4 }
tags = { kind = "multi_hot", width = 4 }
hour = { kind = "numeric", column = "user_id", encoding = "periodic" }
"""

# Folder and overrides to the config, and its data.
Shop = Callable[..., tuple[RunConfig, Prepared]]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A config on the shop's data in a folder, the data prepared once for all tests."""
    source = tmp_path_factory.mktemp("shop")
    write(shop_log(900), str(source / "logs" / "part-0.parquet"))
    lines = TOML.replace('country = { kind = "categorical" }\n', FEATURES.lstrip()).splitlines()
    (source / "shop.toml").write_text("\n".join(lines))

    def config(folder: Path, *overrides: str) -> tuple[RunConfig, Prepared]:
        places = [f"data.train={source / 'logs'}", f"data.prepared={source / 'prepared'}", f"runs={folder / 'runs'}"]
        found = load_config(source / "shop.toml", [*places, "train.batch_size=128", "train.lr=0.01", *overrides])
        return found, prepare(found)

    config(source)
    return config
