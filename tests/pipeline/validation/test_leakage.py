"""A feature that leaks a label is found in every encoding, and real features are not mistaken for one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from features.errors import InputError
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.files.table import find_table
from pipeline.sources.clicklog import Options, generate
from pipeline.training.resolve import load_config
from pipeline.validation import leakage
from tests.conftest import ROOT, debug_config

KEYS = """
name = "clicks"
[data]
train = "log.parquet"
[split]
key = "click"
validation = 0.2
test = 0.2
[spec.tasks]
purchase = { positive = "bought = 1" }
[spec.features]
fair = { kind = "categorical" }
price = { kind = "numeric" }
"""

FOUND = {
    "copy": "{ kind = 'categorical' }",
    "noisy": "{ kind = 'categorical' }",
    "above": "{ kind = 'numeric', buckets = 0 }",
    "below": "{ kind = 'numeric', buckets = 0 }",
    "between": "{ kind = 'numeric', buckets = 0 }",
    "paid": "{ kind = 'numeric', buckets = 0 }",
    "receipt": "{ kind = 'categorical' }",
    "hashed": "{ kind = 'categorical', column = 'receipt', buckets = 100_000 }",
    "tags": "{ kind = 'multi_hot' }",
    "crossed": "{ kind = 'cross', columns = ['copy', 'fair'], buckets = 1000 }",
}


def log(rows: int = 20_000, rate: float = 0.05) -> pl.DataFrame:
    """A label, two features that know a little of it, and every way to know all of it, some with 1 % noise."""
    generator = np.random.default_rng(0)
    bought = generator.random(rows) < rate
    noisy, number = bought ^ (generator.random(rows) < 0.01), generator.random(rows)
    receipts = [f"receipt {n}" if one else None for n, one in enumerate(bought)]
    return pl.DataFrame(
        {
            "click": np.arange(rows),
            "bought": bought.astype(int),
            "fair": generator.integers(0, 9, rows) + 3 * bought,
            "price": generator.normal(size=rows) + bought,
            "copy": bought,
            "noisy": noisy,
            "above": number + 2 * noisy,
            "below": number - 2 * noisy,
            "between": np.where(noisy, 0.5, np.where(number < 0.5, -number, 1 + number)),
            "paid": pl.Series([n if one else None for n, one in zip(number, bought, strict=True)]),
            "receipt": receipts,
            "tags": [["a", "sale"] if one else ["a"] for one in noisy],
        }
    )


def config(folder: Path, rows: pl.DataFrame, features: dict[str, str] = FOUND, *overrides: str) -> RunConfig:
    rows.write_parquet("log.parquet")
    (folder / "clicks.toml").write_text(KEYS + "".join(f"{name} = {text}\n" for name, text in features.items()))
    return load_config(folder / "clicks.toml", overrides)


def refused(found: RunConfig) -> list[str]:
    """The features of the error."""
    try:
        leakage.check_leakage(found, find_table(found.data.train).files)
    except InputError as error:
        return re.findall("feature `(.*?)` alone", str(error))
    return []


@pytest.mark.parametrize("rate", [0.05, 0.5])
def test_a_label_is_found_in_any_form(tmp_path: Path, rate: float) -> None:
    assert refused(config(tmp_path, log(rate=rate))) == list(FOUND)


def test_the_error_says_what_to_do_and_doing_so_helps(tmp_path: Path) -> None:
    few = {name: FOUND[name] for name in ("noisy", "below")}
    with pytest.raises(InputError) as error:
        prepare(config(tmp_path, log(), few))
    assert "features leak a label" in str(error.value)
    assert "they exceed `[contract] leak_auc`, 0.98" in str(error.value)
    assert "on task `purchase`; remove the feature (and name its column in `[spec] excluded`)" in str(error.value)
    assert list(Path("prepared").iterdir()) == [Path("prepared/.lock")]
    assert refused(config(tmp_path, log(), few, "contract.leaks_allowed=['noisy']")) == ["below"]
    assert refused(config(tmp_path, log(), few, "contract.leak_auc=0")) == []
    assert refused(config(tmp_path, log(), few, "contract.leak_auc=0.999")) == []
    prepare(config(tmp_path, log(), few, "contract.leaks_allowed=['noisy', 'below']"))
    with pytest.raises(InputError, match="leaks_allowed names `nosy`, which is not a feature"):
        config(tmp_path, log(), few, "contract.leaks_allowed=['nosy']")


def test_a_task_with_few_positives_is_not_judged(tmp_path: Path) -> None:
    """In 20,000 rows, 12,000 of them to train on and half of these judged, a rate of 0.002 gives 12."""
    assert refused(config(tmp_path, log(rate=0.002))) == []


def test_real_features_are_not_refused(tmp_path: Path) -> None:
    """Among them a family status that tells a marital status with 0.977, here on few rows."""
    census = debug_config(tmp_path)
    assert refused(census) == []
    rows = leakage.training_sample(census, find_table(census.data.train).files)
    found = {(name, task): auc for name, task, auc, _ in leakage.feature_aucs(census.spec, rows, ())}
    assert max(found, key=lambda pair: found[pair]) == ("det_hh_fam_stat", "marital")
    assert len(found) == len(census.spec.features) * len(census.spec.tasks)


def test_a_generated_log_is_not_refused(tmp_path: Path) -> None:
    generate(Options(rows=20_000, users=2000, items=500), tmp_path / "log")
    made = load_config(ROOT / "configs" / "clicklog.toml", [f"data.train={tmp_path}/log/**/*.parquet"])
    assert refused(made) == []


def test_an_auc_is_scikit_learns(tmp_path: Path) -> None:
    """Of a number by itself, in the better direction, and of an id by the mean label of the other half."""
    made = config(tmp_path, log(2000, 0.3), {}, "contract.leak_auc=0.1")
    rows = leakage.training_sample(made, find_table(made.data.train).files)
    found = {name: auc for name, _, auc, _ in leakage.feature_aucs(made.spec, rows, ())}
    learnt, judged = rows.gather_every(2), rows.gather_every(2, 1)
    prior = learnt.get_column("bought").mean()
    mean = learnt.group_by("fair").agg(mean=(pl.col("bought").sum() + prior) / (pl.len() + 1))
    scored = judged.join(mean, on="fair", how="left", maintain_order="left").get_column("mean").fill_null(prior)
    label = judged.get_column("bought")
    assert found["fair"] == pytest.approx(roc_auc_score(label, scored), abs=1e-6)  # scores are ranked in float32
    assert found["price"] >= roc_auc_score(label, judged.get_column("price")) - 1e-9


def test_the_sample_is_bounded_and_spread_over_the_files(tmp_path: Path) -> None:
    made = config(tmp_path, log(2000))
    for place, part in enumerate(log(20_000).iter_slices(1500)):
        part.write_parquet(tmp_path / f"part-{place:02}.parquet")
    paths = find_table(str(tmp_path / "part-*.parquet")).files
    pieces = list(leakage.spread_pieces(paths, 1000))
    assert sum(length for _, _, length in pieces) == 1000
    assert {path for path, _, _ in pieces} == set(paths)
    first, second = (leakage.training_sample(made, paths, 1000) for _ in range(2))
    assert first.equals(second)
    clicks = first.get_column("click").to_list()
    assert len(set(clicks)) == len(clicks) < 1000  # without those of validation and test
    assert min(clicks) < 100
    assert max(clicks) > 19_900
    assert set(rows_of(made, "train")).issuperset(clicks)


def rows_of(made: RunConfig, side: str) -> list[int]:
    rows = log(20_000)
    sides = rows.select(made.split.split_of(rows.schema, holdout=False)).to_series()
    return rows.filter(sides == side).get_column("click").to_list()
