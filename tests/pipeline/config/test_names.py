"""The names that a config knows without importing methods and architectures are those of the modules."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from features.errors import InputError
from gradops.gram_estimator import Measure as MeasureOfGradops
from gradops.methods import METHODS
from models.architectures import ARCHITECTURES, base_config
from models.table_optimizers.names import NAMES
from models.table_optimizers.rules import TABLE_OPTIMIZERS
from pipeline.config.names import ARCHITECTURE_NAMES, METHOD_NAMES
from pipeline.config.run import DEFAULT_KIND
from pipeline.config.toml import read_config
from pipeline.config.train import Measure
from pipeline.training.resolve import load_config
from tests.conftest import ROOT

DEBUG = ROOT / "configs" / "debug.toml"


def test_names_are_those_of_the_modules() -> None:
    assert list(METHODS) == list(METHOD_NAMES)
    assert list(ARCHITECTURES) == list(ARCHITECTURE_NAMES)
    assert list(TABLE_OPTIMIZERS) == list(NAMES)
    assert get_args(Measure) == get_args(MeasureOfGradops)
    assert DEFAULT_KIND == base_config.DEFAULT_KIND


def test_without_their_modules_options_are_kept_as_written() -> None:
    written = ["train.method=gradops( alpha = -2)", "model.tower=[8]", "model.rest=1"]
    config = read_config(DEBUG, written)
    assert config.train.method == "gradops( alpha = -2)"
    assert config.model.model_dump() == {"kind": "shared_bottom", "dropout": 0.3, "tower": [8], "rest": 1} | {
        "bottom": [192, 192]
    }


@pytest.mark.parametrize("load", [read_config, load_config])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.method=gradop(alpha=1)", "Found `gradop`. Did you mean `gradops`?"),
        ("search.methods=['nope']", "search.methods: A method should be one of aligned_mtl, "),
        ("model.kind=shared_botom", "model.kind: did you mean `shared_bottom`? an architecture is one of "),
        ("train.table_optimizer=adm", "did you mean `adam`? a table optimizer is one of adam, "),
    ],
)
def test_an_unknown_name_is_an_error_either_way(load: type[object], override: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load(DEBUG, [override])  # type: ignore[call-arg]  # one of two functions
    assert message in str(error.value)


def test_an_unknown_key_of_an_architecture_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"model.towr: unknown key; did you mean `tower`\?"):
        load_config(DEBUG, ["model.towr=[8]"])


def test_a_config_of_another_architecture_takes_no_keys_of_the_model_it_extends(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(DEBUG.read_text().replace("census.toml", str(ROOT / "configs" / "census.toml")))
    other, same = tmp_path / "other.toml", tmp_path / "same.toml"
    other.write_text('extends = "base.toml"\n[model]\nkind = "other"\nexperts = 2\n')
    same.write_text('extends = "base.toml"\n[model]\nkind = "shared_bottom"\ndropout = 0.1\n')
    assert load_config(same).model.model_dump()["bottom"] == load_config(DEBUG).model.model_dump()["bottom"]
    with pytest.raises(InputError) as error:
        load_config(other)
    assert "1 problem(s)" in str(error.value)
    assert "model.kind: an architecture is one of" in str(error.value)
