"""The README's examples work as shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.prepare import prepare
from pipeline.training.resolve import load_config
from tests.conftest import ROOT
from tests.docs.blocks import blocks
from tests.docs.clicks import write_clicks

README = (ROOT / "README.md").read_text()


def test_it_is_one_screen() -> None:
    assert README.count("\n") <= 150


def test_the_config_prepares_a_click_log(tmp_path: Path) -> None:
    (toml,) = blocks("toml", README)
    (tmp_path / "shop.toml").write_text(toml)
    log = write_clicks(tmp_path / "logs")
    prepared = prepare(load_config(tmp_path / "shop.toml", ["spec.tasks.wish.positive=wished"]))
    splits = prepared.manifest["splits"]
    assert sum(split["rows"] for split in splits.values()) == len(log)


def test_the_training_loop_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (loop,) = blocks("python", README)
    exec(loop, {})
    assert "tensor" in capsys.readouterr().out


def test_the_report_has_its_picture() -> None:
    assert "](docs/pictures/report.png)" in README
