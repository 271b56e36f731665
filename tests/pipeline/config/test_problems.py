"""Every wrong value of a config is told in a sentence of ours, with its place, the rule and the nearest name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from features.errors import InputError
from features.kinds import KINDS
from features.nearest import did_you_mean, nearest
from features.tasks.binary import Task
from models.architectures import ARCHITECTURES
from pipeline.config.run import RunConfig
from pipeline.config.toml import read_config
from pipeline.training.resolve import load_config
from tests.pipeline.small_shop import TOML, write_config

VALUES = ('"text"', "-1", "2.5", "nan", "[]", '[1, "x"]', "{ a = 1 }", "2026-01-31T02:34:16")
# Words of pydantic's own messages.
RAW = re.compile(r"Input should|Extra inputs|Field required|String should|List should|Tuple should|Value error|valid ")


def problems(path: Path, *overrides: str) -> list[str]:
    """The problems of a config, without its name in front of them."""
    with pytest.raises(InputError) as error:
        load_config(path, overrides)
    return [line.removeprefix("  - ") for line in str(error.value).splitlines()[1:]]


def places() -> list[tuple[str, ...]]:
    """Every key of every section, with the overrides that have to come first."""
    sections = {name: field.annotation for name, field in RunConfig.model_fields.items()}
    found: list[tuple[str, ...]] = [(name,) for name in sections]
    for name, section in sections.items():
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += [(f"{name}.{key}",) for key in section.model_fields]
    found += [(f"model.{key}",) for kind in ARCHITECTURES.values() for key in kind.model_fields]
    found += [(f"spec.tasks.cart.{key}",) for key in Task.model_fields]
    for kind in KINDS:
        one = kind.__module__.rpartition(".")[2]
        found += [(f'spec.features.x.kind="{one}"', f"spec.features.x.{key}") for key in kind.model_fields]
    return found


def test_no_wrong_value_of_any_key_is_told_in_pydantics_words() -> None:
    path, told = write_config(), []
    for *first, place in places():
        for value in VALUES:
            try:
                load_config(path, [*first, f"{place}={value}"])
            except InputError as error:
                told.append(str(error))
    assert len(told) > 500
    assert not [text for text in told if RAW.search(text)]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        (
            'spec.features.price.kind="numerc"',
            "spec.features.price.kind: should be one of categorical, cross, multi_hot, numeric, time, found "
            '"numerc"; did you mean `numeric`?',
        ),
        ("spec.features.price={buckets=8}", "spec.features.price.kind: is missing, and decides which other keys"),
        ("spec.features.price.buckets=[8]", "spec.features.price.buckets: should be a whole number, found [8]"),
        ('spec.tasks.cart="carted"', "spec.tasks.cart: should be a section with keys, or { key = value, ... }"),
        ("spec.tasks.cart={}", "spec.tasks.cart.positive: is missing, and has no default"),
        ("spec.tasks.2nd.positive=bought", "spec.tasks.2nd: should be a name of letters, digits and _"),
        ('data.without=["2026-01-31", 7]', "data.without.1: should be a day such as 2026-01-31, without quotes"),
        ("train.schedule=onecycle", 'found "onecycle"; did you mean `one_cycle`?'),
        ('train.lr="fast"', 'train.lr: should be a number, found "fast"'),
        ("epochs=3", "epochs: unknown key; `epochs` belongs to [train]"),
        ("train.Epochs=3", "train.Epochs: unknown key; did you mean `epochs`?"),
        ("name=my shop", "name: should be a name of letters, digits, _ and - that begins with"),
        ("compare.methods=uniform", 'compare.methods: should be a list in square brackets, found "uniform"'),
        ("search.ranges={lr={low=1}}", "search.ranges.lr.high: is missing, and has no default"),
    ],
)
def test_a_wrong_value_is_told_with_its_place_and_rule(override: str, problem: str) -> None:
    (told,) = problems(write_config(), override)
    assert told.startswith(problem) or problem in told


def test_a_value_that_may_be_of_two_types_is_one_problem() -> None:
    (told,) = problems(write_config(), "split.validation=much")
    assert told.startswith("split.validation: should be a share of the rows (0.1), a day")
    assert told.endswith('found "much"')


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_a_config(ends: str, tmp_path: Path) -> None:
    """Notepad and PowerShell write one."""
    plain, marked = tmp_path / "plain.toml", tmp_path / "marked.toml"
    plain.write_text(TOML)
    marked.write_bytes(b"\xef\xbb\xbf" + TOML.replace("\n", ends).encode())
    assert read_config(marked) == read_config(plain)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TOML.encode("utf-16"), "is UTF-16 text, and TOML is UTF-8: save it with the encoding UTF-8"),
        (TOML.encode("utf-16-le"), "is UTF-16 text"),
        (b"name = 'a'\n# caf\xe9\n", r"is not UTF-8: line 2 has the byte 0xe9; save it with the encoding UTF-8"),
        (b"name = \n", "is not TOML: Invalid value"),
    ],
)
def test_another_encoding_is_refused_by_its_name(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_config(tmp_path / "shop.toml")


def test_the_nearest_name_is_found_whatever_its_capitals() -> None:
    columns = ["click_id", "price", "Country"]
    assert nearest("prize", columns) == "price"
    assert nearest("PRICE", columns) == "price"
    assert nearest("cuntry", columns) == "Country"
    assert nearest("shoe", columns) is None
    assert did_you_mean("shoe", columns, "columns there") == "columns there: click_id, price, Country"
