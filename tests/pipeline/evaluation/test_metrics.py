"""Metrics batch by batch: exact while rows are held, within the reported bound beyond, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from pipeline.evaluation.metrics import Evaluator
from pipeline.evaluation.ranking import BINS, _hash, bins

Array = npt.NDArray[np.floating]
Make = Callable[[np.random.Generator, int], Array]
ROWS = 20_000

# Scores that spread, and scores made to be hard: ties, both ends of the floats, all in one bin.
SPREAD: dict[str, Make] = {
    "even": lambda draw, n: draw.random(n),
    "rare": lambda draw, n: 1e-3 * draw.lognormal(size=n).clip(0, 100),
    "nearly certain": lambda draw, n: 1 - 1e-3 * draw.random(n),
    "both ends": lambda draw, n: 1 / (1 + np.exp(-6 * draw.standard_normal(n))),
}
TIED: dict[str, Make] = {
    "tenths": lambda draw, n: draw.integers(0, 11, n) / 10,
    "constant": lambda _, n: np.full(n, 0.3),
    "saturated": lambda draw, n: draw.integers(0, 2, n).astype(np.float64),
    "one bin": lambda draw, n: 0.3 + 1e-6 * draw.random(n),
    "tiny": lambda draw, n: 1e-12 * draw.random(n),
}


def rows_of(make: Make, seed: int = 0, n: int = ROWS) -> tuple[Array, Array]:
    """Labels and scores; a higher score is likelier positive, whatever its scale."""
    draw = np.random.default_rng(seed)
    score_N = make(draw, n).astype(np.float32)
    rank_N = np.searchsorted(np.unique(score_N), score_N) / n
    return (draw.random(n) < 0.1 + 0.5 * rank_N).astype(np.float32), score_N


def batches(
    labels: Array, scores: Array, groups: npt.NDArray[np.integer] | None = None, size: int = 777
) -> Iterator[tuple[Array, Array, npt.NDArray[np.integer] | None]]:
    """One task's rows, as an evaluator takes them."""
    for start in range(0, len(labels), size):
        part = slice(start, start + size)
        yield labels[part, None], scores[part, None], None if groups is None else groups[part]


def evaluated(
    labels: Array,
    scores: Array,
    groups: npt.NDArray[np.integer] | None = None,
    *,
    limit: int = ROWS,
    size: int = 777,
    deciles: bool = False,
) -> dict[str, float]:
    evaluator = Evaluator(["task"], limit=limit)
    for batch in batches(labels, scores, groups, size):
        evaluator.update(*batch)
    return evaluator.result(deciles=deciles)["task"]


@pytest.mark.parametrize("make", [*SPREAD.values(), *TIED.values()], ids=[*SPREAD, *TIED])
def test_few_rows_are_measured_as_scikit_learn_does(make: Make) -> None:
    labels, scores = rows_of(make)
    metrics = evaluated(labels, scores)
    # Sums of 20,000 terms in another order.
    assert metrics["auc"] == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert metrics["auc_error"] == 0
    assert metrics["ap"] == pytest.approx(average_precision_score(labels, scores), rel=1e-12)
    assert metrics["logloss"] == pytest.approx(log_loss(labels, scores.astype(np.float64)), rel=1e-12)
    assert metrics["calibration"] == pytest.approx(scores.sum(dtype=np.float64) / labels.sum(), rel=1e-12)


@pytest.mark.parametrize("make", [*SPREAD.values(), *TIED.values()], ids=[*SPREAD, *TIED])
@pytest.mark.parametrize("limit", [1, 3000, ROWS - 1])
def test_many_rows_are_measured_within_the_bound(make: Make, limit: int) -> None:
    labels, scores = rows_of(make)
    exact, metrics = evaluated(labels, scores), evaluated(labels, scores, limit=limit, size=1500)
    assert abs(metrics["auc"] - exact["auc"]) <= metrics["auc_error"] + 1e-12  # rounding
    if make in SPREAD.values():
        assert metrics["auc_error"] < 1e-4
        assert metrics["calibration_error"] == pytest.approx(exact["calibration_error"], rel=1e-2)
        assert metrics["ap"] == pytest.approx(exact["ap"], rel=1e-4)
    assert all(metrics[name] == pytest.approx(exact[name]) for name in ("logloss", "calibration", "normalised_entropy"))


def test_the_bound_is_reached_where_a_bin_hides_the_order() -> None:
    scores = np.array([0.3, 0.3, 0.300001, 0.300001], np.float32)
    assert len(np.unique(bins(scores))) == 1
    metrics = evaluated(np.array([0.0, 0.0, 1.0, 1.0]), scores, limit=1)
    assert (metrics["auc"], metrics["auc_error"]) == (0.5, 0.5)


def test_a_higher_score_is_never_in_a_lower_bin() -> None:
    draw = np.random.default_rng(0)
    ends = np.array([0, 1e-45, 1e-38, 2**-32, 2**-24, 0.25, 0.5, 0.75, 1], np.float32)
    near = np.concatenate([ends, np.nextafter(ends, np.float32(0)), np.nextafter(ends, np.float32(1))])
    scores = np.sort(np.concatenate([near, draw.random(100_000, np.float32), draw.random(100_000, np.float32) ** 20]))
    bin_N = bins(scores).astype(np.int64)
    assert bin_N[0] == 0
    assert bin_N[-1] == BINS - 1
    assert (np.diff(bin_N) >= 0).all()


def test_float64_and_minus_zero_are_ranked_too() -> None:
    assert evaluated(np.array([1.0, 0.0, 0.0]), np.array([0.0, -0.0, 0.7]))["auc"] == 0.25


def naive_gauc(labels: Array, scores: Array, groups: npt.NDArray[np.integer]) -> float:
    parts = [(labels[groups == g], scores[groups == g]) for g in np.unique(groups)]
    both = [(y, s) for y, s in parts if 0 < y.sum() < len(y)]
    return float(np.average([roc_auc_score(y, s) for y, s in both], weights=[len(y) for y, _ in both]))


def grouped(make: Make, number: int, n: int = ROWS) -> tuple[Array, Array, npt.NDArray[np.int64]]:
    """Groups of very different sizes, with ids far apart, some with one class only."""
    labels, scores = rows_of(make, n=n)
    draw = np.random.default_rng(1)
    ids = draw.integers(-(2**63), 2**63, number)
    return labels, scores, ids[(number * draw.random(n) ** 3).astype(np.int64)]


@pytest.mark.parametrize("make", [SPREAD["even"], SPREAD["rare"], TIED["tenths"], TIED["constant"]])
def test_gauc_is_the_mean_of_a_loop_over_groups(make: Make) -> None:
    labels, scores, groups = grouped(make, 300, n=5000)
    metrics = evaluated(labels, scores, groups)
    assert metrics["gauc"] == pytest.approx(naive_gauc(labels, scores, groups), rel=1e-12)
    assert metrics["gauc_share"] == 1


def test_gauc_beyond_the_limit_is_that_of_a_sample_of_groups() -> None:
    labels, scores, groups = grouped(SPREAD["even"], 1000)
    metrics = evaluated(labels, scores, groups, limit=ROWS // 3)
    kept = _hash(groups) < metrics["gauc_share"] * 2**63
    assert metrics["gauc_share"] < 1
    assert ROWS / 100 < kept.sum() <= ROWS // 3
    assert metrics["gauc"] == pytest.approx(naive_gauc(labels[kept], scores[kept], groups[kept]), rel=1e-12)


def test_a_group_larger_than_the_limit_is_left_out() -> None:
    labels, scores = rows_of(SPREAD["even"])
    metrics = evaluated(labels, scores, np.zeros(ROWS, np.int32), limit=100)
    assert math.isnan(metrics["gauc"])
    assert metrics["gauc_share"] < 1


def test_the_sample_is_drawn_by_a_published_hash() -> None:
    # splitmix64's first output from seed 0 (Vigna's splitmix64.c); we keep its upper 63 bits.
    assert int(_hash(np.array([0]))[0]) == 0xE220A8397B1DCDAF >> 1


@pytest.mark.parametrize("limit", [ROWS, ROWS // 3])
def test_the_order_of_rows_and_batches_is_of_no_matter(limit: int) -> None:
    labels, scores, groups = grouped(TIED["tenths"], 1000)
    order = np.random.default_rng(2).permutation(ROWS)
    one = evaluated(labels, scores, groups, limit=limit, deciles=True)
    other = evaluated(labels[order], scores[order], groups[order], limit=limit, size=2345, deciles=True)
    assert other == pytest.approx(one, rel=1e-12)
    assert {n: one[n] for n in ("auc", "auc_error", "gauc_share")} == {
        n: other[n] for n in ("auc", "auc_error", "gauc_share")
    }


def test_memory_is_bounded() -> None:
    limit = 4000
    evaluator = Evaluator(["x", "y"], limit=limit)
    labels, scores, groups = grouped(SPREAD["even"], 500)
    held = []
    for _ in range(4):
        for start in range(0, ROWS, 1000):
            part = slice(start, start + 1000)
            evaluator.update(np.stack([labels[part]] * 2, 1), np.stack([scores[part]] * 2, 1), groups[part])
            held.append(evaluator.nbytes)
    # A word of 4 bytes; a group and a word; three counts of 8 bytes a bin.
    assert max(held) <= 2 * (limit * (4 + 12) + BINS * 24)
    assert len(set(held[5:])) == 1


def test_a_result_may_be_asked_for_on_the_way() -> None:
    labels, scores, groups = grouped(SPREAD["even"], 500)
    for limit in (ROWS, 5000):
        evaluator = Evaluator(["task"], limit=limit)
        for batch in batches(labels, scores, groups):
            evaluator.update(*batch)
            assert 0 < evaluator.result()["task"]["gauc"] < 1
        final = evaluator.result()["task"]
        assert final == evaluator.result()["task"] == pytest.approx(evaluated(labels, scores, groups, limit=limit))


def test_unknown_labels_are_left_out_of_their_task_alone() -> None:
    labels, scores, groups = grouped(SPREAD["even"], 100, n=3000)
    unknown = np.random.default_rng(3).random(3000) < 0.4
    half = np.where(unknown, np.nan, labels)
    evaluator = Evaluator(["whole", "half"])
    # What is predicted for an unknown label is never looked at.
    evaluator.update(np.stack([labels, half], 1), np.stack([scores, np.where(unknown, np.nan, scores)], 1), groups)
    result = evaluator.result()
    assert result["whole"] == evaluated(labels, scores, groups, size=3000)
    assert result["half"] == evaluated(labels[~unknown], scores[~unknown], groups[~unknown], size=3000)


@pytest.mark.parametrize("limit", [1, 100])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_one_class_has_no_auc(label: float, limit: int) -> None:
    metrics = evaluated(np.full(5, label), np.full(5, 0.4), np.arange(5), limit=limit)
    assert {n for n, v in metrics.items() if math.isnan(v)} == {"auc", "auc_error", "normalised_entropy", "gauc"} | (
        set() if label else {"calibration", "ap"}
    )
    assert metrics["logloss"] == pytest.approx(-math.log(0.4 if label else 0.6))
    assert metrics["calibration_error"] == pytest.approx(0.6 if label else 0.4)


@pytest.mark.parametrize("rows", [0, 3])
def test_no_known_label_has_no_metrics(rows: int) -> None:
    metrics = evaluated(np.full(rows, np.nan), np.full(rows, 0.4), np.arange(rows), deciles=True, size=2)
    assert all(math.isnan(value) for name, value in metrics.items() if name != "gauc_share")
    assert all(math.isnan(value) for value in Evaluator(["task"]).result()["task"].values())


def test_deciles_by_hand() -> None:
    labels = np.array([0.0] * 10 + [0.0, 1.0] * 5)
    scores = np.array([0.1] * 10 + [0.4] * 10)
    metrics = evaluated(labels, scores, deciles=True)
    # Twenty rows: each tenth has two, with 0.2 predicted of none, or 0.8 of one, wherever the ones stand in the ties.
    assert all(math.isnan(metrics[f"calibration.decile_{d}"]) for d in range(1, 6))
    assert [metrics[f"calibration.decile_{d}"] for d in range(6, 11)] == pytest.approx([0.8] * 5)
    assert metrics["calibration_error"] == pytest.approx(0.1)
    assert metrics["calibration"] == pytest.approx(1.0)


def test_the_base_rate_has_a_normalised_entropy_of_one() -> None:
    labels = np.array([1.0, 0.0, 0.0, 0.0])
    assert evaluated(labels, np.full(4, 0.25))["normalised_entropy"] == pytest.approx(1.0)
    assert evaluated(labels, np.array([0.7, 0.1, 0.1, 0.1]))["normalised_entropy"] < 1


def test_what_is_no_label_or_probability_is_named() -> None:
    good = np.array([[0.0], [1.0]])
    with pytest.raises(ValueError, match=r"labels of `task` should be 0, 1 or NaN. Found 2"):
        Evaluator(["task"]).update(2 * good, good)
    for bad in (1.5, -0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match=r"probabilities of `task` should be in \[0, 1\]. Found"):
            Evaluator(["task"]).update(good, np.array([[0.5], [bad]]))
    with pytest.raises(ValueError, match=r"should be rows x 2.*Found \[\(2, 1\)"):
        Evaluator(["x", "y"]).update(good, good)
    with pytest.raises(ValueError, match=r"`group_B` as long. Found"):
        Evaluator(["task"]).update(good, good, np.arange(3))
    with pytest.raises(ValueError, match="`group_B` should hold integers"):
        Evaluator(["task"]).update(good, good, np.ones(2))  # type: ignore[arg-type]  # the point
    with pytest.raises(ValueError, match="`limit` should be at least 1"):
        Evaluator(["task"], limit=0)
