"""What each column is worth, against scikit-learn and against scoring raw rows anew; for every kind of served model."""

from __future__ import annotations

from contextlib import chdir
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.metrics import roc_auc_score

from features.errors import InputError
from pipeline.comparison.boosting import train_boosting
from pipeline.comparison.made_of import MAKERS
from pipeline.comparison.packed import packed_run
from pipeline.config.run import RunConfig
from pipeline.data.prepare import prepare
from pipeline.data.prepared import Prepared
from pipeline.data.raw_rows import raw_rows
from pipeline.explanation import explain
from pipeline.explanation.dependence import curve
from pipeline.explanation.drop import drops
from pipeline.explanation.explain import Explaining, Setting
from pipeline.explanation.explained_rows import ExplainedRows
from pipeline.explanation.explanation import Explanation
from pipeline.explanation.own_data import is_of_data
from pipeline.explanation.summary import summary
from pipeline.explanation.units import Unit, units
from pipeline.runs.run import Run
from pipeline.serving.scorer import Scorer
from pipeline.training.training import train
from tests.pipeline.small_shop import shop_config, shop_log, write

FEATURES = {
    "user_id": '{ kind = "categorical", buckets = 500 }',
    "tags": '{ kind = "multi_hot" }',
    "item_country": '{ kind = "cross", columns = ["item_id", "country"], buckets = 500 }',
    "noise": '{ kind = "numeric" }',
    "same_price": '{ kind = "numeric" }',
    "nothing": '{ kind = "numeric" }',
}


@dataclass(frozen=True)
class Shop:
    config: RunConfig
    prepared: Prepared
    folder: Path

    def model(self, kind: str) -> Path:
        """A trained model of a kind, made when the first test asks for it."""
        place = self.folder / kind
        if not place.exists():
            with chdir(self.folder):
                run = self.network if kind == "network" else MAKERS[kind](self.systems, self.config, self.prepared)
            Scorer.write(place, encoder=self.prepared.folder / "encoder", packed=packed_run(run))
        return place

    @cached_property
    def network(self) -> Run:
        return train(self.config, self.prepared)

    @cached_property
    def systems(self) -> dict[str, list[Run]]:
        single = [one_task(self.config, task) for task in self.config.tasks]
        return {
            "uniform": [self.network],
            "single-task": [train(one, self.prepared) for one in single],
            "boosting": [train_boosting(one, self.prepared) for one in single],
        }

    def work(self, kind: str, runs: Path, **setting: int) -> Explaining:
        config = self.config.model_copy(update={"runs": runs})
        scorer = Scorer.load(self.model(kind))
        return Explaining(config, self.prepared, scorer, kind, True, Setting(**setting))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("explained")
    with chdir(folder):
        log = shop_log(3000)
        price = pl.when(pl.col("click_id") % 7 > 0).then("price")
        noise = np.random.default_rng(1).normal(size=3000)
        log = log.with_columns(noise=noise, price=price, same_price=price * 2, nothing=pl.lit(1.5))
        write(log.with_columns(bought=pl.when(pl.col("click_id") % 5 > 0).then("bought")))
        places = [f"data.train={folder}/logs", f"data.prepared={folder}/p", f"runs={folder}/runs"]
        config = shop_config(FEATURES, None, *places, "train.lr=0.02", "train.epochs=2", "train.threads=1")
        return Shop(config, prepare(config), folder)


def one_task(config: RunConfig, task: str) -> RunConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"tasks": (task,)})})


class Silent:
    def __init__(self, after: int = 10**6) -> None:
        self.names: list[str] = []
        self.found = 0
        self._after = after

    def on_start(self, total: int, done: int) -> None:
        self.found = done

    def on_unit(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._after:
            raise KeyboardInterrupt


@pytest.fixture
def rows(shop: Shop) -> ExplainedRows:
    return ExplainedRows.read(shop.config, shop.prepared, Scorer.load(shop.model("network")), 10_000)


def test_a_shuffled_column_scores_as_shuffled_raw_rows_do(shop: Shop, rows: ExplainedRows) -> None:
    spec, order_N = rows.scorer.encoder.spec, np.random.default_rng(3).permutation(len(rows))
    found = {unit.name: unit for unit in units(spec, [("price", "same_price")]) if unit.kind != "feature"}
    raw = pl.concat(raw_rows(shop.config, shop.prepared, "val", tuple(rows.scorer.encoder.dtypes)))
    assert set(found) == {*spec.sources} - {"bought", "carted"} | {"item_id & country", "price & same_price"}
    for unit in found.values():
        expected = rows.scorer.score(raw.with_columns(raw.select(unit.columns)[order_N])).to_numpy()
        np.testing.assert_allclose(rows.score_NT(rows.permuted(unit, order_N)), expected, rtol=0, atol=1e-9)


def test_a_feature_alone_is_shuffled_while_its_columns_stay(rows: ExplainedRows) -> None:
    order_N = np.random.default_rng(3).permutation(len(rows))
    alone = rows.permuted(Unit("item_country", "feature", ("item_id", "country"), ("item_country",)), order_N)
    assert alone["id.item_id"].equals(rows.encoded["id.item_id"])
    assert alone["id.item_country"].equals(rows.encoded["id.item_country"][order_N])


class Estimator(ClassifierMixin, BaseEstimator):
    """A task of a model as scikit-learn sees it."""

    classes_ = np.array([0, 1])

    def __init__(self, rows: ExplainedRows, task: int) -> None:
        self.rows, self.task = rows, task

    def fit(self, *_: Any) -> Estimator:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray[Any, Any]:
        probability_N = self.rows.scorer.score(pl.from_pandas(frame))[:, self.task].to_numpy()
        return np.stack([1 - probability_N, probability_N], axis=1)


@pytest.mark.slow
def test_drops_are_those_of_scikit_learn(shop: Shop, tmp_path: Path) -> None:
    columns, repeats = ["item_id", "country", "price", "same_price", "noise", "nothing", "user_id"], 12
    found = shop.work("network", tmp_path, repeats=repeats).run(Silent(), 2)
    rows = ExplainedRows.read(shop.config, shop.prepared, Scorer.load(shop.model("network")), 10_000)
    for t, task in enumerate(rows.scorer.tasks):
        known = ~np.isnan(rows.labels_NT[:, t])
        assert known.all() == (task == "cart"), "labels that are unknown count in neither"
        frame = rows.raw.filter(known).to_pandas()
        assert found.auc[task] == pytest.approx(
            roc_auc_score(rows.labels_NT[known, t], Estimator(rows, t).predict_proba(frame)[:, 1])
        )

        def score(model: Estimator, x: pd.DataFrame, y: Any) -> float:
            return float(roc_auc_score(y, model.predict_proba(x)[:, 1]))

        theirs = permutation_importance(
            Estimator(rows, t), frame, rows.labels_NT[known, t], scoring=score, n_repeats=repeats, random_state=0
        )
        worths = {worth.name: worth for worth in found.of_kind("column")}
        for column in columns:
            place = list(frame.columns).index(column)
            error = theirs.importances_std[place] * np.sqrt(2 / repeats)
            # Two means over other shuffles: 4 standard errors of their difference, for 14 comparisons.
            assert worths[column].drops[task].delta == pytest.approx(
                theirs.importances_mean[place], abs=4 * error + 1e-9
            )


def test_curves_are_those_of_scikit_learn(rows: ExplainedRows) -> None:
    found = curve(rows, "price")
    assert found is not None
    assert found.missing is not None
    raw = rows.raw.to_pandas()
    for t, task in enumerate(rows.scorer.tasks):
        theirs = partial_dependence(
            Estimator(rows, t), raw, ["price"], custom_values={"price": np.array(found.values)}, method="brute"
        )
        np.testing.assert_allclose(found.means[task], theirs["average"][0], atol=1e-6)
        without = rows.scorer.score(rows.raw.with_columns(price=pl.lit(None, pl.Float64)))[:, t].to_numpy()
        assert found.missing[task] == pytest.approx(without.mean())
    assert curve(rows, "nothing") is None, "it has one value"


@pytest.mark.parametrize("kind", ["network", *(pytest.param(kind, marks=pytest.mark.slow) for kind in MAKERS)])
def test_every_kind_of_model_is_explained(shop: Shop, tmp_path: Path, kind: str) -> None:
    found = shop.work(kind, tmp_path, repeats=3).run(Silent(), 2)
    assert found.of_kind("column")[0].name == "item_id", "it alone decides the labels"
    assert found.of_kind("column")[0].is_beyond_noise
    assert "nothing" in found.unread
    assert "noise" in [*found.dead, *found.unread]
    sentences = " ".join(summary(found))
    assert "No score depends on " in sentences
    assert "AUC" in sentences
    assert "`item_id`" in sentences
    assert [w.name for w in found.of_kind("group") if "nearly the same" in w.reason] == ["price & same_price"]
    for worth in found.worths:
        for drop in worth.drops.values():
            assert drop.low <= drop.delta <= drop.high


def test_an_interrupted_explanation_goes_on_and_is_the_same(shop: Shop, tmp_path: Path) -> None:
    whole = shop.work("network", tmp_path / "whole", repeats=2).run(Silent(), 1)
    stopped, again = Silent(after=4), Silent()
    with pytest.raises(KeyboardInterrupt):
        shop.work("network", tmp_path / "parts", repeats=2).run(stopped, 1)
    work = shop.work("network", tmp_path / "parts", repeats=2)
    assert work.run(again, 2) == whole, "whatever the number of workers"
    assert again.found >= 4
    assert len(again.names) == len(whole.worths) - again.found
    assert [path.name for path in work.path.parent.iterdir()] == [work.path.name]
    found = Silent()
    assert work.run(found, 1) == whole
    assert found.names == []


def test_a_part_of_the_rows_is_drawn_and_said(shop: Shop, tmp_path: Path) -> None:
    found = shop.work("network", tmp_path, rows=100, repeats=2).run(Silent(), 1)
    assert found.rows < 115
    assert found.share == pytest.approx(1 / 6, abs=0.01)


def test_bad_input_is_one_error(shop: Shop, tmp_path: Path) -> None:
    work = shop.work("network", tmp_path)
    odd = replace(work, scorer=replace(work.scorer, tasks=("purchase", "return")))
    with pytest.raises(InputError, match=r"no labels of tasks of the model.*(.|\n)*`return`"):
        odd.run(Silent(), 1)
    (tmp_path / "bad.json").write_text('{"kind": "explanation"}')
    with pytest.raises(InputError, match="holds no explanation"):
        Explanation.load(tmp_path / "bad.json")


@pytest.mark.slow
def test_a_model_of_other_data_is_said(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_of_data(shop.model("boosting"), shop.prepared)
    monkeypatch.setattr(explain, "CURVES", 0)
    found = replace(shop.work("boosting", tmp_path, repeats=2), is_own_data=False).run(Silent(), 1)
    assert "it may have seen these rows" in summary(found)[-1]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.05])
def test_intervals_hold_the_drop_of_a_column_that_matters(share: float) -> None:
    """Of 200 samples: from an AUC of 0.75 to one half, as a score that decides alone drops when it is shuffled."""
    generator, hits = np.random.default_rng(0), 0
    for _ in range(200):
        label_N = (generator.random(1000) < share).astype(float)
        score_N = generator.normal(size=1000) + label_N * 0.9538726  # the AUC is the normal share below this / sqrt(2)
        shuffled = [generator.permutation(score_N)[:, None] for _ in range(4)]
        drop = drops(label_N[:, None], score_N[:, None], shuffled, None, tasks=["buy"], share=1.0, among=1)["buy"]
        hits += drop.low <= 0.25 <= drop.high
    assert 0.91 <= hits / 200 <= 0.99  # 0.95 with 2.6 standard errors of 0.0154 on either side
