"""Calibrators are those of scikit-learn, keep the order of rows, and say the same from JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from pipeline.evaluation.calibration import Isotonic, Platt, calibrated, parse_calibrators
from pipeline.evaluation.calibration_fit import fit_calibrators, fit_isotonic, fit_platt

SHAPES = ["usual", "rare", "separated", "one logit", "far", "ties"]


def rows(shape: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are wrong by a slope and a shift, and labels."""
    draw = np.random.default_rng(5)
    true_N = draw.normal(-5 if shape == "rare" else -1, 1.5, 4000)
    positive_N = draw.random(len(true_N)) < 1 / (1 + np.exp(-true_N))
    logit_N = (true_N - 0.7) / 0.6
    if shape == "separated":
        logit_N = np.where(positive_N, abs(logit_N) + 1, -abs(logit_N))
    if shape == "one logit":
        logit_N = np.full_like(logit_N, -1.25)
    if shape == "far":
        logit_N = 40 * logit_N + 300
    if shape == "ties":
        logit_N = logit_N.round(1)
    return logit_N, positive_N


@pytest.mark.parametrize("shape", SHAPES)
def test_platt_is_logistic_regression_on_platts_targets(shape: str) -> None:
    logit_N, positive_N = rows(shape)
    above, below = positive_N.sum(), (~positive_N).sum()
    target_N = np.where(positive_N, (above + 1) / (above + 2), 1 / (below + 2))
    # A target t is a positive row of weight t and a negative one of weight 1 - t.
    model = LogisticRegression(C=math.inf, tol=1e-12, max_iter=10_000)
    spread = logit_N.std() or 1.0
    both = np.tile(logit_N, 2)[:, None] / spread
    model.fit(both, np.repeat([1, 0], len(logit_N)), sample_weight=np.concatenate([target_N, 1 - target_N]))
    found = fit_platt(logit_N, positive_N)
    expected_N = model.predict_proba(logit_N[:, None] / spread)[:, 1]
    # scikit-learn's solver stops where the slope of the loss is small.
    assert found.probabilities(logit_N) == pytest.approx(expected_N, abs=2e-4)
    assert found.slope > 0
    if shape != "one logit":
        assert roc_auc_score(positive_N, found.probabilities(logit_N)) == pytest.approx(
            roc_auc_score(positive_N, logit_N), abs=1e-12 if shape != "far" else 1e-3
        )


def test_an_order_of_chance_is_never_turned_around() -> None:
    logit_N, positive_N = rows("usual")
    found = fit_platt(-logit_N, positive_N)
    assert found.slope == 1
    # The targets' mean, which is nearly that of the labels.
    assert found.probabilities(-logit_N).mean() == pytest.approx(positive_N.mean(), abs=1e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_isotonic_is_that_of_scikit_learn(shape: str) -> None:
    logit_N, positive_N = rows(shape)
    low, high = 1 / ((~positive_N).sum() + 2), (positive_N.sum() + 1) / (positive_N.sum() + 2)
    reference = IsotonicRegression(y_min=low, y_max=high, out_of_bounds="clip").fit(logit_N, positive_N)
    found = fit_isotonic(logit_N, positive_N)
    asked_N = np.concatenate([logit_N, np.linspace(logit_N.min() - 5, logit_N.max() + 5, 500)])
    # scikit-learn takes logits as one where they are nearer than float32 tells apart.
    assert found.probabilities(asked_N) == pytest.approx(reference.predict(asked_N), abs=1e-6)
    thinned = fit_isotonic(logit_N, positive_N, points=5)
    assert len(thinned.logits) == min(5, len(found.logits))
    assert thinned.logits[0] == found.logits[0]
    assert thinned.logits[-1] == found.logits[-1]


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_new_rows_are_better_calibrated_and_a_file_says_the_same(kind: str) -> None:
    logit_N, positive_N = rows("usual")
    fitted, new = slice(0, 2000), slice(2000, 4000)
    labels_NT = np.stack([positive_N, ~positive_N], axis=1).astype(np.float32)
    labels_NT[::7, 1] = np.nan
    logit_NT = np.stack([logit_N, -logit_N], axis=1)
    calibrators = fit_calibrators(kind, logit_NT[fitted], labels_NT[fitted])
    known_N = ~np.isnan(labels_NT[fitted, 1])
    assert calibrators[1] == fit_calibrators(kind, logit_NT[fitted][known_N], labels_NT[fitted][known_N])[1]
    found_NT = calibrated(logit_NT[new], calibrators)
    before, after = (log_loss(positive_N[new], p) for p in (1 / (1 + np.exp(-logit_N[new])), found_NT[:, 0]))
    assert after < before - 0.02
    written = json.loads(json.dumps({"a": calibrators[0].model_dump(), "b": calibrators[1].model_dump()}))
    assert list(parse_calibrators(written).values()) == calibrators
    assert np.isnan(calibrated(np.full((1, 2), np.nan), calibrators)).all()
    assert np.isfinite(calibrated(np.array([[np.inf, -np.inf], [1e308, -1e308]]), calibrators)).all()


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "platt", "slope": 0.0, "intercept": 1.0},
        {"kind": "platt", "slope": 1.0, "intercept": math.nan},
        {"kind": "isotonic", "logits": [0.0, 0.0], "values": [0.1, 0.2]},
        {"kind": "isotonic", "logits": [0.0, 1.0], "values": [0.3, 0.2]},
        {"kind": "isotonic", "logits": [0.0, 1.0], "values": [0.2]},
        {"kind": "isotonic", "logits": [0.0], "values": [1.1]},
        {"kind": "beta", "slope": 1.0},
    ],
)
def test_what_is_no_rising_curve_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        parse_calibrators({"task": written})


def test_the_kinds_have_their_formulas() -> None:
    assert Platt(slope=2, intercept=-1).probabilities(np.array([0.5, 0.0])).tolist() == pytest.approx(
        [0.5, 1 / (1 + math.e)]
    )
    curve = Isotonic(logits=(-1, 1, 2), values=(0.1, 0.3, 0.3))
    assert curve.probabilities(np.array([-9, -1, 0, 1.5, 9])).tolist() == pytest.approx([0.1, 0.1, 0.2, 0.3, 0.3])
