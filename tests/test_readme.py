"""What the README shows works as shown."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import BaseModel

from features.kinds import KINDS
from features.tasks.binary import Task
from gradops.catalogue import markdown
from gradops.methods import METHODS
from models.architectures import ARCHITECTURES
from pipeline.config.contract import ContractConfig
from pipeline.config.gate import GateConfig
from pipeline.config.run import CompareConfig, DataConfig
from pipeline.config.search import Range, SearchConfig
from pipeline.config.split import SplitConfig
from pipeline.config.train import TrainConfig
from pipeline.data.prepare import prepare
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_config_for_your_own_parquet_prepares_a_click_log(tmp_path: Path) -> None:
    (toml,) = blocks("toml")
    (tmp_path / "shop.toml").write_text(toml)
    generator, rows = np.random.default_rng(0), 3000
    log = pl.DataFrame(
        {
            "user_id": generator.integers(0, 300, rows),
            "item_id": [f"item {i}" for i in generator.zipf(1.5, rows) % 1000],
            "session_id": np.arange(rows),
            "viewed": [[f"item {i}" for i in generator.integers(0, 1000, n)] for n in generator.integers(0, 4, rows)],
            "clicked_at": np.datetime64("2026-01-01", "us")
            + generator.integers(0, 86_400, rows).astype("timedelta64[s]"),
            "country": [["NL", "ES", None][i] for i in generator.integers(0, 3, rows)],
            "price": generator.lognormal(3, 1, rows),
            "bought": generator.integers(0, 2, rows),
            "carted": pl.Series([[0, 1, None][i] for i in generator.integers(0, 3, rows)], dtype=pl.Int8),
            "wished": generator.integers(0, 2, rows).astype(bool),
        }
    )
    for day, part in enumerate(log.iter_slices(1000)):
        (tmp_path / "logs").mkdir(exist_ok=True)
        part.write_parquet(tmp_path / "logs" / f"day-{day}.parquet")
    prepared = prepare(load_config(tmp_path / "shop.toml", ["spec.tasks.wish.positive=wished"]))
    splits = prepared.manifest["splits"]
    assert sum(split["rows"] for split in splits.values()) == rows
    known = sum(split["tasks"]["cart"]["known"] for split in splits.values())
    assert known == log.get_column("carted").drop_nulls().len() < rows


def test_the_guide_to_your_own_data_is_true_of_a_generated_log() -> None:
    toml, *_ = blocks("toml", (ROOT / "docs" / "your-own-data.md").read_text())
    Path("shop.toml").write_text(toml)
    generate(Options(rows=7000, users=500, items=100), Path("logs"))
    before = prepare(
        load_config(Path("shop.toml"), ["data.grow=true", "split.validation=2026-01-05", "split.test=2026-01-06"])
    )
    later = prepare(load_config(Path("shop.toml"), ["data.grow=true"]))
    assert before.rows == {"train": 4000, "val": 1000, "test": 2000}
    assert later.manifest["grown_from"] == before.fingerprint


def test_the_training_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (loop,) = [code for code in blocks("python") if "MultiTaskOptimizer(" in code]
    exec(loop, {})
    assert "tensor" in capsys.readouterr().out


def test_every_package_says_what_it_is_and_has_its_line_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    for package in ("features", "gradops", "models", "pipeline", "jobs"):
        for init in (ROOT / package).rglob("__init__.py"):
            folder = init.parent.relative_to(ROOT)
            assert ast.get_docstring(ast.parse(init.read_text())), f"{init} has no docstring"
            assert f"`{folder}/`" in page, f"{folder} has no line in docs/architecture.md"


def test_every_key_of_a_config_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs" / "config.md").read_text()))
    run = (DataConfig, SplitConfig, ContractConfig, TrainConfig, CompareConfig, SearchConfig, Range, GateConfig)
    sections: tuple[type[BaseModel], ...] = (*run, Task, *KINDS, *ARCHITECTURES.values())
    keys = {key for section in sections for key in section.model_fields}
    assert keys <= documented, keys - documented


def test_the_methods_page_is_what_their_docstrings_say() -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    assert page == markdown(), "run `make docs`"
    for section in page.split("\n## ")[1:-1]:
        assert section.partition("\n")[0].strip("`") in METHODS
        assert all(word in section for word in ("\nChoose it ", "*Costs* ")), section
    assert not re.search(r":\w+:`|\.\. math", page), "reStructuredText left in Markdown"


def test_every_option_of_a_method_is_described() -> None:
    for row in re.findall(r"^\| `\w+` \| `.*?` \| .*? \| (.*) \|$", markdown(), flags=re.MULTILINE):
        assert len(row) > 20, row
